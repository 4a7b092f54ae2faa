"""The routes of jobs: what they are, how far they are, what they found, and what a person corrects."""

import contextlib
import gzip
import os

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from plankton_keras.serve import notifying, upload_routes
from plankton_keras.serve.exporting import export, files_of, what_of
from plankton_keras.serve.notifying import event
from plankton_keras.serve.refusing import Refused, looked_at_again
from plankton_keras.serve.results import Results

# Streams pass proxies unbuffered, and nothing of a job is kept by caches unless it says so.
STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ALIVE = ": alive\n\n"


def routes(jobs):
    """Makes the routes of uploads, jobs, results and prediction folders.

    Args:
        jobs: The `jobs.Jobs`.

    Returns:
        A `fastapi.APIRouter`.
    """
    router, results = APIRouter(tags=["jobs"]), Results(jobs)
    router.include_router(upload_routes.routes(jobs))
    of_one = APIRouter(route_class=looked_at_again(jobs.get))
    _of_jobs(of_one, jobs)
    _of_files(of_one, jobs, results)
    _of_objects(of_one, results)
    router.include_router(of_one)
    _of_folders(router, jobs)
    return router


def _of_jobs(router, jobs):
    @router.get("/v1/jobs")
    def all_jobs():
        """All jobs, the newest first."""
        return {"jobs": [jobs.describe(row) for row in jobs.store.all()]}

    @router.get("/v1/jobs/{id}")
    def one(id: str):
        """A job."""
        return jobs.describe(jobs.get(id))

    @router.delete("/v1/jobs/{id}")
    def remove(id: str):
        """Cancels a job that is not finished; deletes one that is."""
        row = jobs.remove(id)
        return jobs.describe(row) if row else Response(None, 204)

    @router.get("/v1/jobs/{id}/events")
    async def events(id: str):
        """Each change of a job as server-sent events; ends when it is finished."""
        await run_in_threadpool(jobs.get, id)
        return StreamingResponse(_changes(jobs, id), media_type="text/event-stream", headers=STREAM)

    @router.get("/v1/events")
    async def all_events():
        """Each change of any job as server-sent events; never ends."""
        return StreamingResponse(_all_changes(jobs), media_type="text/event-stream", headers=STREAM)


async def _changes(jobs, id):
    """Streams a job until it is final, deleted, or the service ends."""
    with jobs.notifier.listening(id) as listener:
        changed = [id]
        while None not in changed:
            row = await run_in_threadpool(jobs.store.get, id)
            yield _event(jobs, id, row)
            if row is None or row.is_final:
                return
            while not (changed := await listener.changes(notifying.ALIVE_SECONDS)):
                yield ALIVE


async def _all_changes(jobs):
    """Streams all jobs that are not final, then what changes, until the service ends."""
    with jobs.notifier.listening() as listener:
        for row in await run_in_threadpool(jobs.store.all):
            if not row.is_final:
                yield _event(jobs, row.id, row)
        yield ALIVE
        while None not in (changed := await listener.changes(notifying.ALIVE_SECONDS)):
            for id in changed:
                yield _event(jobs, id, await run_in_threadpool(jobs.store.get, id))
            if not changed:
                yield ALIVE


def _event(jobs, id, row):
    return event("job", jobs.describe(row)) if row else event("deleted", {"id": id})


def _of_files(router, jobs, results):
    @router.get("/v1/jobs/{id}/files")
    def files(id: str):
        """The files of a job that is done."""
        return _listed(files_of(jobs.task(jobs.finished(id))))

    @router.get("/v1/jobs/{id}/files/{name}")
    def file(id: str, name: str):
        """A file of the list."""
        path = files_of(jobs.task(jobs.finished(id))).get(name)
        with contextlib.suppress(FileNotFoundError):
            if path:
                return _OpenFile(path.open("rb"), name)
        raise Refused(404, "There is no such file.", f"a name of /v1/jobs/{id}/files.", "look there.")

    @router.post("/v1/jobs/{id}/export")
    def exported(id: str):
        """Writes the corrected objects as files: for EcoTaxa but for those `too_large`, as a table, and to train on."""
        result = results.get(id)
        # Until all is listed: another export would take the files away.
        with result.exporting:
            names, too_large = export(result)
            found = files_of(result.task)
            return {**_listed({name: found[name] for name in names}), "too_large": too_large}


def _listed(found):
    listed = []
    for name, path in found.items():
        # What another export took away meanwhile is left out.
        with contextlib.suppress(FileNotFoundError):
            listed.append({"name": name, "bytes": path.stat().st_size, "what": what_of(name)})
    return {"files": listed}


class _OpenFile(FileResponse):
    """A file to be saved, never shown as a page of the service; another export may replace it while it is sent."""

    def __init__(self, file, name):
        about = {"filename": name, "content_disposition_type": "attachment"}
        super().__init__(f"/dev/fd/{file.fileno()}", **about, stat_result=os.fstat(file.fileno()))
        self._file = file

    async def __call__(self, scope, receive, send):
        with self._file:
            await super().__call__(scope, receive, send)


def _of_objects(router, results):
    @router.get("/v1/jobs/{id}/objects")
    def objects(id: str, request: Request):
        """All objects with outlines, and the classes."""
        content, headers = results.get(id).objects(), {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, media_type="application/json", headers=headers)

    @router.get("/v1/jobs/{id}/objects/{label}.png")
    def vignette(id: str, label: int):
        """An object alone, with a bar of 1 mm."""
        return Response(results.get(id).vignette(label), media_type="image/png", headers={"Cache-Control": "no-cache"})

    @router.get("/v1/jobs/{id}/objects/{label}")
    def one(id: str, label: int):
        """An object with its measures and likeliest classes."""
        return results.get(id).object(label)

    @router.get("/v1/jobs/{id}/summary")
    def summary(id: str):
        """Counts, size spectrum, and what is doubtful."""
        return results.get(id).summary()

    @router.post("/v1/jobs/{id}/corrections")
    def correct(id: str, request: dict):
        """Renames, deletes, merges or splits objects."""
        return results.correct(id, request)

    @router.post("/v1/jobs/{id}/corrections/undo")
    def undo(id: str, request: dict | None = None):
        """Takes the last correction back."""
        return results.undo(id, (request or {}).get("revision"))

    @router.post("/v1/jobs/{id}/corrections/redo")
    def redo(id: str, request: dict | None = None):
        """Does again what was undone last."""
        return results.redo(id, (request or {}).get("revision"))


def _of_folders(router, jobs):
    @router.get("/v1/folders")
    def folders():
        """The prediction folders on the server that can be opened."""
        found = jobs.folders()
        return {"folders": [{"id": each.id, "name": each.name, "scans": len(each.content["scans"])} for each in found]}

    @router.post("/v1/folders/{id}")
    def open_folder(id: str):
        """Opens a prediction folder: a job for each of its scans."""
        return {"jobs": [jobs.describe(row) for row in jobs.open_folder(id)]}
