"""How the service refuses: a status, and what was found, what was expected and how to mend it, as JSON."""

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from plankton_keras.errors import InputError, PlanktonError, SettingError

# Where nothing else is said: what a client sent is wrong, or what lies on the server is.
STATUS = {SettingError: 400, InputError: 400}


class Refused(PlanktonError):
    """A request that is not answered as asked.

    Args:
        status: The HTTP status.
        what: As for `errors.PlanktonError`.
        expected: As for `errors.PlanktonError`.
        fix: As for `errors.PlanktonError`.
        headers: Further headers of the answer, or None.

    Example:

    >>> error = Refused(404, "There is no job abc.", "a job of GET /v1/jobs.", "look there.")
    >>> error.status, error.what
    (404, 'There is no job abc.')
    """

    def __init__(self, status, what, expected, fix, headers=None):
        super().__init__(what, expected, fix)
        self.status, self.headers = status, headers


def three_lines(error):
    """Gives an error as the dictionary that every answer has: `error`, `expected`, `fix`."""
    return {"error": error.what, "expected": error.expected, "fix": error.fix}


def refusal(error):
    """Makes the answer to a request of a `errors.PlanktonError`."""
    status = getattr(error, "status", STATUS.get(type(error), 500))
    return JSONResponse(three_lines(error), status, getattr(error, "headers", None))


def looked_at_again(find):
    """Makes a class of routes for `fastapi.APIRouter`: what fails since its job was deleted meanwhile says so.

    Args:
        find: Function of an id that raises where there is no such job any more.

    Returns:
        A subclass of `fastapi.routing.APIRoute`.
    """

    class Route(APIRoute):
        def get_route_handler(self):
            handle = super().get_route_handler()

            async def handled(request):
                try:
                    return await handle(request)
                except Exception:
                    await run_in_threadpool(find, request.path_params["id"])
                    raise

            return handled if "{id}" in self.path else handle

    return Route


def install(app):
    """Makes an application answer every error in this form.

    Args:
        app: A `fastapi.FastAPI`.
    """

    @app.exception_handler(PlanktonError)
    async def plankton(_, error):
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_, error):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return refusal(Refused(400, f"{place}: {first['msg']}.", "what /docs says of this request.", "mend it."))

    @app.exception_handler(HTTPException)
    async def other(_, error):
        what = f"{error.detail}."
        return refusal(Refused(error.status_code, what, "a request that /docs lists.", "mend it.", error.headers))
