"""All that `plankton serve` runs: the model, jobs with their worker, tiles and the page, opened and closed together."""

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.inference import load_classifier
from plankton_keras.naming import name_objects
from plankton_keras.serve import job_routes, tile_routes
from plankton_keras.serve.app import GIGABYTE, Service, build_app
from plankton_keras.serve.jobs import Jobs
from plankton_keras.serve.limits import Limits
from plankton_keras.serve.versions import Models
from plankton_keras.serve.watching import Watch
from plankton_keras.serve.worker import Worker

PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders of a service.

    Attributes:
        export: The export.
        data: Where uploads and results are kept.
        predictions: Folder of prediction folders that can be opened, or None.
        classifier: Run of vignettes, or its export, that names the objects, or None.
    """

    export: Path
    data: Path
    predictions: Path | None = None
    classifier: Path | None = None


@contextlib.contextmanager
def opened(places, config, token=None):
    """Opens a service.

    Args:
        places: The `Places`.
        config: A `config.ServeConfig`.
        token: What clients must know, or None.

    Yields:
        `(app, ending)`: the ASGI application, and what to call when the service begins to end.

    Raises:
        ArtefactError: If there is no export or it cannot be loaded, or another service uses the data folder.
    """
    watch, naming = Watch(), None
    models = Models(places.export, config.name, told=watch.version)
    limits = Limits(
        upload_bytes=config.max_upload_gb * GIGABYTE,
        megapixels=config.max_megapixels,
        queue=config.max_jobs,
        keep_hours=config.keep_hours,
    )
    if places.classifier:
        naming = functools.partial(name_objects, load_classifier(places.classifier), confidence=0.0)
    with contextlib.ExitStack() as stack:
        # Before the data folder is made: what is no export leaves nothing behind.
        models.start()
        stack.callback(models.close)
        jobs = stack.enter_context(Jobs(places.data, limits, predictions=places.predictions, name=config.name))
        tiles = tile_routes.routes(jobs.scan)
        stack.callback(tiles.pyramids.close)
        # Nothing is written into the folder of a job that is deleted.
        jobs.before_delete.append(tiles.pyramids.stop)
        service = Service(config, models, token, classifier=naming is not None, watch=watch)
        worker = Worker(jobs, functools.partial(_current, models), naming)
        yield build_app(service, [job_routes.routes(jobs), tiles], PAGE, [worker]), jobs.notifier.close


def _current(models):
    """Gives the predictor that jobs take now, and the number of its version; None before one is loaded."""
    version = models.current()
    return version and (version.predictor, version.number)
