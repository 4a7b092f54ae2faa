"""The routes of uploads: tus 1.0 with the extensions creation and termination."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from plankton_keras.serve.refusing import Refused
from plankton_keras.serve.uploads import CONTENT_TYPE, VERSION, Busy, append, read_metadata, read_number

RESUMABLE = {"Tus-Resumable": VERSION}


def routes(jobs):
    """Makes the routes of uploads.

    Args:
        jobs: The `jobs.Jobs`.

    Returns:
        A `fastapi.APIRouter`.
    """
    router, busy = APIRouter(tags=["uploads"]), Busy()

    @router.options("/v1/uploads", status_code=204)
    def options():
        """What of tus is understood."""
        said = {"Tus-Version": VERSION, "Tus-Extension": "creation,termination"}
        return Response(None, 204, {**RESUMABLE, **said, "Tus-Max-Size": str(jobs.limits.upload_bytes)})

    @router.post("/v1/uploads", status_code=201)
    def create(request: Request):
        """Begins the upload of a scan; the job has the same id."""
        _check_version(request)
        label, dpi = read_metadata(request.headers.get("Upload-Metadata"))
        row = jobs.new_upload(read_number(request.headers, "Upload-Length"), label, dpi)
        return JSONResponse(jobs.describe(row), 201, {**RESUMABLE, "Location": f"/v1/uploads/{row.id}"})

    @router.head("/v1/uploads/{id}")
    def offset(id: str, request: Request):
        """Says how much of an upload is there."""
        _check_version(request)
        row = jobs.describe(_kept(jobs.get(id)))
        sizes = {"Upload-Offset": str(row["received"]), "Upload-Length": str(row["bytes"])}
        return Response(None, 200, {**RESUMABLE, **sizes, "Cache-Control": "no-store"})

    @router.patch("/v1/uploads/{id}", status_code=204)
    async def patch(id: str, request: Request):
        """Takes the next part of an upload; with the last one its job waits."""
        _check_version(request)
        row = _kept(await run_in_threadpool(jobs.get, id))
        start = _check_patch(request, row)
        busy.take(id)
        try:
            size = await append(jobs.upload(id), row.bytes, start, request.stream())
        except FileNotFoundError:
            raise _given_up() from None
        except ClientDisconnect:
            # What came is kept, and nobody hears the answer.
            return Response(None, 400, RESUMABLE)
        finally:
            busy.release(id)
            jobs.received(id)
        return Response(None, 204, {**RESUMABLE, "Upload-Offset": str(size)})

    @router.delete("/v1/uploads/{id}", status_code=204)
    def terminate(id: str, request: Request):
        """Gives an upload up."""
        _check_version(request)
        if jobs.get(id).state != "uploading":
            raise Refused(409, "The upload is whole.", "one that is not.", f"DELETE /v1/jobs/{id}.")
        # Cancelled, then deleted.
        while jobs.remove(id):
            pass
        return Response(None, 204, RESUMABLE)

    return router


def _check_version(request):
    wanted = request.headers.get("Tus-Resumable", VERSION)
    if wanted != VERSION:
        raise Refused(
            412, f"tus {wanted[:20]} is not spoken here.", f"tus {VERSION}.", "ask so.", {"Tus-Version": VERSION}
        )


def _kept(row):
    """Gives the row of an upload that was not given up: of others nothing is left, and none of them is whole."""
    if row.state == "cancelled":
        raise _given_up()
    return row


def _given_up():
    return Refused(410, "The upload was given up.", "one that is not.", "begin a new one.")


def _check_patch(request, row):
    """Checks the head of a part; gives the offset that it says."""
    kind = request.headers.get("Content-Type", "")
    if kind != CONTENT_TYPE:
        raise Refused(415, f"The body is of type {kind[:60]!r}.", f"{CONTENT_TYPE}.", "send the header Content-Type.")
    if row.state != "uploading":
        raise Refused(409, f"The job is {row.state}.", "an upload that is not whole.", "ask for the job.")
    start = read_number(request.headers, "Upload-Offset")
    if "Content-Length" in request.headers:
        length = read_number(request.headers, "Content-Length")
        if start + length > row.bytes:
            raise Refused(
                413, "The body is longer than the upload.", f"{row.bytes} bytes in all.", "send what was announced."
            )
    return start
