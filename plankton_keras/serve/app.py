"""The service, put together: patches, metrics and what is given beside them, behind one door."""

import base64
import contextlib
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from plankton_keras import __version__
from plankton_keras.config import ServeConfig
from plankton_keras.serve import refusing, rest, watching
from plankton_keras.serve.batching import Batcher
from plankton_keras.serve.guarding import PATCHES, Guard, RequestLimits
from plankton_keras.serve.refusing import Refused, three_lines
from plankton_keras.serve.versions import Models
from plankton_keras.serve.watching import Watch
from plankton_keras.taxa import color_of

MEGABYTE, GIGABYTE = 2**20, 2**30


@dataclass(frozen=True)
class Service:
    """What a service is made of.

    Attributes:
        config: The `config.ServeConfig`.
        models: The `versions.Models`; whoever makes it starts and closes it.
        token: What clients must know, or None.
        classifier: Whether objects are named by a classifier of vignettes.
        watch: The `watching.Watch`.
    """

    config: ServeConfig
    models: Models
    token: str | None = None
    classifier: bool = False
    watch: Watch = field(default_factory=Watch)


def build_app(service, routers=(), page=None, background=()):
    """Makes the application.

    Args:
        service: The `Service`.
        routers: Further `fastapi.APIRouter`: jobs, tiles.
        page: Folder of the page, with index.html, or None.
        background: Context managers that are entered before the first request and left after the last.

    Returns:
        An ASGI application.
    """
    config, models = service.config, service.models
    batcher = Batcher(config.batch_size, config.wait_ms, config.max_requests, service.watch.batch)
    service.watch.hold(lambda: batcher.held)
    pool = rest.pool()

    @contextlib.asynccontextmanager
    async def life(_):
        with contextlib.ExitStack() as stack:
            stack.callback(pool.shutdown, wait=False)
            stack.enter_context(batcher)
            for each in background:
                stack.enter_context(each)
            yield

    app = FastAPI(title="plankton", version=__version__, docs_url=None, redoc_url=None, lifespan=life)
    refusing.install(app)
    _install(app)
    patches = rest.Patches(models, batcher, config.max_request_megapixels, pool)
    for router in (rest.routes(patches), watching.routes(service.watch, models), _about(service), *routers):
        app.include_router(router)
    _show(app, page)
    limits = RequestLimits(config.max_request_mb * MEGABYTE, config.max_upload_gb * GIGABYTE, config.request_seconds)
    return Guard(app, limits, service.token, service.watch, lambda: identity(models))


def identity(models):
    """Gives `(name, version, digest)` of the model that is served; None before it is loaded."""
    version = models.current()
    return version and (models.name, version.number, version.digest)


def _install(app):
    """Answers errors of routes in the form that their clients know."""
    others = dict(app.exception_handlers)

    def worded_for(kind):
        async def answer(request, error):
            answered = await others[kind](request, error)
            if not request.url.path.startswith(PATCHES):
                return answered
            return rest.refused(answered.status_code, f"Malformed request: {request.method} {request.url.path}")

        return answer

    for kind in others:
        if not isinstance(kind, int):
            app.add_exception_handler(kind, worded_for(kind))

    @app.exception_handler(Exception)
    async def unexpected(*_):
        # What it was stands in the log, and may tell more than a client should know.
        error = Refused(500, "Something unexpected happened.", "an answer.", "ask who runs the service for its log.")
        return JSONResponse(three_lines(error), 500)


def _about(service):
    router, models = APIRouter(tags=["service"]), service.models

    @router.get("/v1/service")
    async def about():
        """The model, its classes, and the limits of uploads."""
        version = models.current()
        if version is None:
            raise Refused(503, "No version is loaded yet.", "a model.", "ask again.", {"Retry-After": "2"})
        target = version.predictor.target
        return {
            "name": models.name,
            "version": version.number,
            "model": version.metadata["model"],
            "model_sha256": version.digest,
            # Class 0 is everything that is not looked for.
            "classes": [
                {
                    "name": name,
                    "living": target.living.get(name, False),
                    "colour": "#{:02x}{:02x}{:02x}".format(*color_of(index)),
                }
                for index, name in enumerate(target.names)
            ],
            "limits": {
                "upload_bytes": service.config.max_upload_gb * GIGABYTE,
                "megapixels": service.config.max_megapixels,
            },
            "classifier": service.classifier,
        }

    return router


def _show(app, page):
    """Adds the page of the service, and that of its API, which loads nothing."""

    @app.get("/docs", include_in_schema=False)
    def docs():
        return _api_page(app)

    if page is None:
        app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
        return
    index = Path(page) / "index.html"
    app.add_api_route("/", lambda: FileResponse(index), include_in_schema=False)
    app.mount("/page", StaticFiles(directory=page), name="page")


def _api_page(app):
    """Writes the routes as a page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("plankton_keras"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("api.html.j2").render(api=app.openapi())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    return HTMLResponse(text, headers={"Content-Security-Policy": rules})
