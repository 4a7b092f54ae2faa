"""One scan file to its files in the prediction folder and its entry, in whatever process: what `cluster` deals out."""

import time
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.averaging import over_models, over_turns
from plankton_keras.config import parse_gray_range
from plankton_keras.errors import ArtefactError
from plankton_keras.files import sha256, unchanged
from plankton_keras.inference import load_predictor
from plankton_keras.prediction import peak_memory_mb, predict_scan, write_prediction
from plankton_keras.scans import open_scan
from plankton_keras.shift import unlike

# The predictor that this process has loaded, by its paths and whether it looks at all turns.
_LOADED = {}


@dataclass(frozen=True)
class Job:
    """A scan to predict.

    Attributes:
        path: The file.
        known: Digest of the scan whose files stand in the folder already, or None.
    """

    path: Path
    known: str | None = None


def load(models, turns=False, digest=None):
    """Loads the predictor of one model or several; a process keeps the last.

    Args:
        models: Tuple of paths of runs and exports.
        turns: Whether to average over flips and turns.
        digest: What its digest must be, or None to load it anew.

    Returns:
        A `predictors.Predictor`.

    Raises:
        ArtefactError: If a model is bad, or is not the one of the digest.
    """
    kept = _LOADED.get((models, turns))
    if kept and kept.digest == digest:
        return kept
    _LOADED.clear()
    predictor = over_models([load_predictor(model) for model in models])
    if digest not in (None, predictor.digest):
        raise ArtefactError(
            f"{predictor.source} is another model in a worker than where the command was given.",
            "one file system for all machines, and a model that stays as it is.",
            "give the command again.",
        )
    _LOADED[models, turns] = over_turns(predictor) if turns else predictor
    return _LOADED[models, turns]


def predict_file(job, tell, models, digest, config, out):
    """Predicts a scan and writes its files.

    Args:
        job: The `Job`.
        tell: Called with `(pixels done, pixels in all)`.
        models: As for `load`.
        digest: As for `load`.
        config: A `config.PredictConfig`.
        out: The prediction folder.

    Returns:
        The scan's entry in prediction.json, a dictionary; None if the scan's files were made of these bytes already.

    Raises:
        InputError: If the scan is bad.
        ArtefactError: As `load`.
    """
    with unchanged(job.path):
        found = sha256(job.path)
        if found == job.known:
            tell(0, 0)
            return None
        return predict_with(load(models, config.turns, digest), job.path, found, config, out, tell)


def predict_with(predictor, path, digest, config, out, tell):
    """Predicts a scan with a predictor at hand and writes its files.

    Args:
        predictor: A `predictors.Predictor`.
        path: The scan.
        digest: SHA-256 of the scan.
        config: A `config.PredictConfig`.
        out: The prediction folder.
        tell: As for `predict_file`.

    Returns:
        The scan's entry in prediction.json, a dictionary.

    Raises:
        InputError: If the scan is bad.
        SettingError: As `predictors.Predictor.threshold_for`.
    """
    threshold = predictor.threshold_for(config)
    started = time.monotonic()
    with open_scan(path, parse_gray_range(config.gray_range)) as scan:
        with unchanged(path):
            prediction = predict_scan(scan, predictor.probabilities, threshold, config, tell, predictor.judge)
        files = write_prediction(out, scan, prediction, predictor.classes, config.probabilities)
    seconds, megapixels = time.monotonic() - started, scan.height * scan.width / 1e6
    return {
        "scan": scan.stem,
        "path": str(path),
        "sha256": digest,
        "status": "done",
        "files": files,
        "megapixels": round(megapixels, 2),
        "seconds": round(seconds, 2),
        "megapixels_per_second": round(megapixels / seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "objects": len(prediction.objects),
        "unlike_training": unlike(prediction.look or {}, predictor.looks),
        "living_share": round(int(prediction.objects.areas.sum()) / (scan.height * scan.width), 6),
    }
