"""The tiles of a scan by HTTP; their pyramid is made in the background, one scan at a time."""

from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from threading import Lock

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from plankton_keras.errors import InputError
from plankton_keras.serve.pyramid import ABOUT, KeptTiles, Pyramid, build
from plankton_keras.serve.refusing import looked_at_again

# The scan of a job never changes, so neither do its tiles. `private`: they are not for shared caches.
HEADERS = {"Cache-Control": "private, max-age=31536000, immutable"}


class Pyramids:
    """The pyramids of all scans.

    Args:
        find: Gives `(path, gray_range, folder)` of an id: the scan, its gray range or None, and the folder for its
            pyramid; raises where there is no such scan.

    Example:

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.pgm").write_bytes(b"P5 3 2 255\\n" + bytes(6))
    >>> pyramids = Pyramids(lambda id: (folder / "a.pgm", None, folder / "tiles"))
    >>> pyramids.prepare("a").result().width
    3
    """

    def __init__(self, find):
        self._find, self._lock = find, Lock()
        self._worker = ThreadPoolExecutor(1, "pyramid")
        self._begun, self._shares, self._stopped = {}, {}, set()

    def prepare(self, id):
        """Begins the pyramid of a scan unless it is being made; what failed is tried again.

        Args:
            id: Of the scan.

        Returns:
            A `concurrent.futures.Future` of the `Pyramid`.
        """
        path, gray_range, folder = self._find(id)
        with self._lock:
            if id not in self._begun:
                self._shares[id] = 0.0
                self._begun[id] = self._worker.submit(self._build, id, path, folder, gray_range)
            begun = self._begun[id]
            if begun.done():
                del self._begun[id]
            return begun

    def share(self, id):
        """Gives the share of a pyramid that is made, 0..1."""
        return self._shares.get(id, 0.0)

    def stop(self, id):
        """Ends the making of a pyramid and waits until nothing is written any more: before its scan is deleted."""
        with self._lock:
            begun = self._begun.pop(id, None)
            if begun is None or begun.cancel():
                return
            self._stopped.add(id)
        wait([begun])
        self._stopped.discard(id)

    def close(self):
        """Ends all that is being made."""
        for id in list(self._begun):
            self.stop(id)
        self._worker.shutdown()

    def _build(self, id, path, folder, gray_range):
        def tell(share):
            if id in self._stopped:
                raise CancelledError
            self._shares[id] = share

        try:
            return build(path, folder, gray_range, tell)
        finally:
            self._shares.pop(id, None)

    def standing(self, id):
        """Gives the pyramid of a scan where it stands, else None."""
        folder = self._find(id)[2]
        return Pyramid(folder) if (folder / ABOUT).is_file() else None


def routes(find):
    """Makes the routes of the tiles.

    Args:
        find: As of `Pyramids`; what it raises is for the application to answer.

    Returns:
        A `fastapi.APIRouter`; by its attribute `pyramids` others begin a pyramid early, or stop it.
    """
    router, kept = APIRouter(route_class=looked_at_again(find)), KeptTiles()
    router.pyramids = pyramids = Pyramids(find)

    @router.get("/v1/jobs/{id}/tiles")
    def about(id: str):
        """Size, tile and levels of a scan; 202 with the share that is made while its pyramid is not whole."""
        made = pyramids.standing(id)
        if made is None:
            begun = pyramids.prepare(id)
            if not begun.done():
                share = round(pyramids.share(id), 3)
                return JSONResponse({"ready": False, "progress": share}, 202, {"Retry-After": "1"})
            made = begun.result()
        return {"ready": True, "width": made.width, "height": made.height, "tile": made.tile, "levels": made.levels}

    @router.get("/v1/jobs/{id}/tiles/{level}/{column}_{row}.jpg")
    def tile(id: str, level: int, column: int, row: int):
        """A tile as JPEG; Deep Zoom's numbers, the last level is the scan."""
        pyramid = pyramids.standing(id)
        found = pyramid and kept.get((id, level, column, row), lambda: pyramid.jpeg(level, column, row))
        if found is None:
            return _missing(pyramid, f"{level}/{column}_{row}")
        return Response(found, media_type="image/jpeg", headers=HEADERS)

    return router


def _missing(pyramid, name):
    error = InputError(
        f"There is no tile {name}." if pyramid else "The tiles of this scan are not made yet.",
        "a tile within the scan." if pyramid else "that the scan's tiles were asked for first.",
        "ask for the size of the scan under /v1/jobs/ID/tiles.",
    )
    return JSONResponse({"error": error.what, "expected": error.expected, "fix": error.fix}, 404)
