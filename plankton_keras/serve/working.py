"""What is done with the scan of a job: predicted, measured, and its objects cut out, as the commands do."""

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plankton_keras.candidates import LocalGround
from plankton_keras.config import parse_gray_range
from plankton_keras.errors import ArtefactError
from plankton_keras.files import read_json, sha256, whole_file, write_json
from plankton_keras.images import open_image
from plankton_keras.journal import Journal
from plankton_keras.measuring import covered_by_large, read_objects
from plankton_keras.predicting import predict_with
from plankton_keras.scans import open_scan
from plankton_keras.serve.shapes import write_shapes
from plankton_keras.tabulating import Context, measure_predictions, read_predictions

PREDICTION, MEASURES, CLASSES, SHAPES = "prediction", "measures", "classes.json", "shapes.jsonl.gz"
GROUND, CONTENT = "ground.npy", "content.json"


@dataclass(frozen=True)
class Task:
    """The scan of a job.

    Attributes:
        folder: The folder of the job.
        scan: The scan.
        stem: Its stem.
        dpi: Resolution where the file does not say it, or None.
        source: Prediction folder that holds the prediction already, or None.
    """

    folder: Path
    scan: Path
    stem: str
    dpi: float | None = None
    source: Path | None = None

    @property
    def prediction(self):
        """The prediction folder."""
        return self.source or self.folder / PREDICTION

    def content(self):
        """Gives prediction.json with this scan only; once it is measured, as it was then.

        Raises:
            ArtefactError: If it is missing or damaged.
        """
        if (self.folder / CONTENT).is_file():
            return read_json(self.folder / CONTENT, "delete the job, and open the folder or send the scan again.")
        content = read_predictions(self.prediction)
        return {**content, "scans": [entry for entry in content["scans"] if entry["scan"] == self.stem]}

    def is_as_predicted(self):
        """Tells whether the prediction folder still holds what the job was measured from."""
        if self.source is None:
            return True
        try:
            content = read_predictions(self.source)
        except ArtefactError:
            return False
        measured = self.content()
        made = [made_of(content, entry) for entry in content["scans"] if entry["scan"] == self.stem]
        return made == [made_of(measured, entry) for entry in measured["scans"]]


def made_of(content, entry):
    """Digests what made the prediction of a scan: model, threshold, classes, settings, and the scan.

    Args:
        content: What `tabulating.read_predictions` gave.
        entry: The scan's entry of it.

    Returns:
        64 hexadecimal digits.
    """
    of_all = [content.get(name) for name in ("model_sha256", "threshold", "classes", "living", "settings")]
    # Masks of one's own have no digest, only objects.
    text = json.dumps([*of_all, entry.get("sha256"), entry.get("objects")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def predict(task, predictor, config, tell):
    """Predicts the scan as `plankton predict` does, unless its journal says that this is done.

    Args:
        task: The `Task`.
        predictor: A `predictors.Predictor`.
        config: A `config.PredictConfig`.
        tell: Called with `(pixels done, pixels in all)`.

    Raises:
        InputError: If the scan is bad.
    """
    config = config.for_classes(len(predictor.classes))
    try:
        journal = Journal.of(task.prediction, predictor, config)
    except ArtefactError:
        # Begun with another version of the model, before the service was stopped.
        shutil.rmtree(task.prediction)
        journal = Journal.of(task.prediction, predictor, config)
    digest = sha256(task.scan)
    if journal.digest(task.scan.name) != digest:
        entry = predict_with(predictor, task.scan, digest, config, task.prediction, tell)
        # By its name alone: paths of the server are nobody's business.
        journal.add(task.scan.name, entry)
    journal.finish()


def measure(task, naming, tell):
    """Measures the objects as `plankton measure` does, and cuts them out for the page.

    Args:
        task: The `Task`, predicted.
        naming: As in `tabulating.Context`.
        tell: Called with `(objects done, objects in all)`.

    Returns:
        `(objects, dpi, height, width)`: their number, the resolution that counts or None, and the size of the scan.

    Raises:
        InputError: If the scan is bad.
        ArtefactError: If the prediction is missing or damaged.
    """
    # Measured before, and stopped: the folder may have been predicted anew since.
    (task.folder / CONTENT).unlink(missing_ok=True)
    content = task.content()
    entry, living = _entry(task, content), {}

    def name(vignettes):
        named = naming(vignettes)
        living.update(zip(named.names, map(bool, named.living), strict=True))
        return named

    context = Context.of(content, dpi=task.dpi, naming=name if naming else None)
    context = dataclasses.replace(context, paths={task.stem: task.scan})
    out = task.folder / f"{MEASURES}.partial"
    for old in (out, task.folder / MEASURES):
        shutil.rmtree(old, ignore_errors=True)
    out.mkdir(parents=True)
    total = entry.get("objects") or 1

    def count(done):
        tell(min(done, total), total)

    result = measure_predictions(task.prediction, content, context, out, tell=count)
    for kind in ("packages", "reports", "plots"):
        result[kind] = [Path(path).name for path in result[kind]]
    write_json(out / "measure.json", result)
    write_json(task.folder / CONTENT, content)
    write_json(task.folder / CLASSES, {content["classes"][0]: False, **(living or content["living"])})
    out.replace(task.folder / MEASURES)
    path = task.prediction / f"{task.stem}_mask.png"
    with open_image(path) as mask:
        write_shapes(task.folder / SHAPES, task.prediction, task.stem, mask, task.folder / MEASURES / "objects.csv")
        covered = covered_by_large(read_objects(task.prediction, task.stem), mask, path)
    with open_scan(task.scan, gray_range_of(content)) as scan, whole_file(task.folder / GROUND) as partial:
        # For what is measured again after a correction, without another look at the whole scan.
        np.save(partial, LocalGround(scan, covered=covered).small)
        return result["objects"], scan.dpi or task.dpi, scan.height, scan.width


def _entry(task, content):
    """Gives what prediction.json has of the scan."""
    if not content["scans"]:
        raise ArtefactError(
            f"The prediction folder does not hold the scan {task.stem} any more.",
            "the prediction that was opened.",
            "open the folder again.",
        )
    return content["scans"][0]


def gray_range_of(content):
    """Gives the gray range of a prediction folder's scans, as `scans.open_scan` takes it."""
    return parse_gray_range(content["settings"]["gray_range"])
