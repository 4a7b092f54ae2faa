"""The whole service: patches, jobs of scans, their tiles, and the page for people."""

import contextlib
from pathlib import Path

from plankton_keras.serve import job_routes, tile_routes
from plankton_keras.serve.app import GIGABYTE, build_app
from plankton_keras.serve.jobs import Jobs
from plankton_keras.serve.limits import Limits
from plankton_keras.serve.worker import Worker

PAGE = Path(__file__).parent / "page"


def whole_app(service, data, predictions=None, naming=None):
    """Makes the application with everything.

    Args:
        service: An `app.Service`.
        data: The data folder; it is made where it is missing, and belongs to one service at a time.
        predictions: Folder of prediction folders that the page can open, or None.
        naming: As in `tabulating.Context`, or None.

    Returns:
        `(app, ending)`: an ASGI application, and a function that ends its streams, which never end by themselves.

    Raises:
        ArtefactError: If another service uses the data folder, or it cannot be read.
    """
    config, models = service.config, service.models
    limits = Limits(
        upload_bytes=config.max_upload_gb * GIGABYTE,
        megapixels=config.max_megapixels,
        queue=config.max_jobs,
        keep_hours=config.keep_hours,
    )
    jobs = Jobs(data, limits, predictions=predictions, name=config.name)
    tiles = tile_routes.routes(jobs.scan)
    jobs.before_delete.append(tiles.pyramids.stop)

    def current():
        version = models.current()
        return version and (version.predictor, version.number)

    # Left in the opposite order: the worker stops before what it works on is closed.
    background = (contextlib.closing(jobs), contextlib.closing(tiles.pyramids), Worker(jobs, current, naming))
    return build_app(service, (job_routes.routes(jobs), tiles), PAGE, background), jobs.notifier.close
