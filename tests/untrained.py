"""Runs that are finished but learned nothing: quick to make, and with weights that are the same each time."""

import keras

from plankton_keras.config import TrainConfig
from plankton_keras.files import write_json
from plankton_keras.models import build_model
from plankton_keras.runs import Run
from plankton_keras.taxa import living_target


def untrained_run(folder, **thresholds):
    """Writes a finished run of a small network; further thresholds stand beside those that each run has."""
    run, config = Run(folder), TrainConfig(width=4, depth=3)
    keras.utils.set_random_seed(1)
    build_model(config, 2).save(run.model)
    write_json(run.config, config.to_json())
    write_json(run.thresholds, {"foreground": 0.4, "temperature": 2.0, "pixel": {"threshold": 0.4}, **thresholds})
    write_json(run.metrics, {"val": {}})
    provenance = {"classes": ["non-living", "living"], "dpi": 2400, "target": living_target().to_json()}
    write_json(run.provenance, {**provenance, "training_scans": {"abc": "a"}})
    return run
