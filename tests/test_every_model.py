"""Of every network: a training that was cut goes on as if nothing was, and an export computes what the run does."""

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest

from plankton_keras import devices, training
from plankton_keras.config import ENCODERS, MODELS, TrainConfig
from plankton_keras.export import export_run
from plankton_keras.files import write_json
from plankton_keras.models import build_model
from plankton_keras.runs import Run

pytestmark = pytest.mark.slow
CLASSES, EPOCHS, STEPS = 3, 3, 2


class Batches(keras.utils.PyDataset):
    """Batches of noise, the same for the same step."""

    def __init__(self, vignettes, first):
        super().__init__()
        self.vignettes, self.first = vignettes, first

    def __len__(self):
        return EPOCHS * STEPS - self.first

    def __getitem__(self, index):
        generator = np.random.default_rng(self.first + index)
        image = generator.integers(0, 256, (2, 64, 64, 1)).astype(np.float32)
        if self.vignettes:
            side = np.array([[20.0], [90.0]], np.float32)
            return {"image": image, "side": side}, generator.integers(0, CLASSES, 2)
        return image, generator.integers(0, CLASSES, (2, 64, 64, 1)).astype(np.uint8)


class KeepsACopy(keras.callbacks.Callback):
    """Copies the run folder after an epoch, as a kill would leave it."""

    def __init__(self, epoch, run, copy):
        super().__init__()
        self.epoch, self.run, self.copy = epoch, run, copy

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            shutil.copytree(self.run.folder, self.copy.folder)


def train(run, config, callbacks=()):
    keras.utils.set_random_seed(0)
    model, vignettes = build_model(config, CLASSES), config.model in ENCODERS
    training.compile_model(model, config)
    first = len(training.History(run).rows) * STEPS
    datasets = Batches(vignettes, first), Batches(vignettes, EPOCHS * STEPS - 1)
    training.fit(model, datasets, config, run, callbacks)
    return model


@pytest.fixture(scope="module")
def done(request, tmp_path_factory):
    """What `cut_resume_and_export` gives, or will give, of each network that is tested."""
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    # A process for each: TensorFlow keeps the graphs of all networks that a process has trained. Most of the time goes
    # into making graphs, on one core.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        yield {name: pool.submit(cut_resume_and_export, name, tmp_path_factory.mktemp(name)) for name in names}


@pytest.mark.parametrize("name", MODELS)
def test_it_resumes_and_exports(name, done):
    whole, cut, epochs, difference = done[name].result()
    assert epochs == [1, 2, 3]
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
    assert difference <= 1e-4


def cut_resume_and_export(name, tmp_path):
    """Gives the weights of a whole training and a cut one, epochs of the latter, and the difference of an export."""
    devices.prepare("float32", 0)
    config = TrainConfig(model=name, weights="none", epochs=EPOCHS, steps_per_epoch=STEPS, batch_size=2, window=64)
    whole, cut = Run(tmp_path / "whole"), Run(tmp_path / "cut")
    whole.folder.mkdir()
    weights = [model.get_weights() for model in (train(whole, config, [KeepsACopy(2, whole, cut)]), train(cut, config))]

    target = {"names": ["a", "b", "c"], "living": {"a": True, "b": False, "c": True}, "living_share": 0.75}
    write_json(whole.config, config.to_json())
    write_json(whole.metrics, {"val": {}})
    write_json(whole.thresholds, {"foreground": 0.4, "pixel": {"threshold": 0.4}})
    known = {"classes": ["a", "b", "c"], "dpi": None, "target": target, "vignette_size": 64, "training_scans": {}}
    write_json(whole.provenance, known)
    epochs = [row["epoch"] for row in training.History(cut).rows]
    return *weights, epochs, export_run(whole, tmp_path / "export")["max_difference"]
