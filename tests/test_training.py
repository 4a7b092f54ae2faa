import csv
import itertools
import json
import sys

import keras
import numpy as np
import pytest

from plankton_keras import training
from plankton_keras.config import TrainConfig
from plankton_keras.errors import ArtefactError, PlanktonError
from plankton_keras.models import build_model
from plankton_keras.runs import Run

# With this seed the second epoch is better than the first, so that the model is saved twice.
CONFIG = TrainConfig(width=4, depth=2, epochs=4, steps_per_epoch=3, batch_size=2, window=64, seed=1)


def batch(step):
    """Dark squares on pale ground, another batch for each step."""
    generator = np.random.default_rng(step)
    images, masks = np.full((2, 64, 64, 1), 225, np.float32), np.zeros((2, 64, 64, 1), np.uint8)
    for index in range(2):
        top, left = generator.integers(0, 44, 2)
        images[index, top : top + 20, left : left + 20] = 60
        masks[index, top : top + 20, left : left + 20] = 1
    return images, masks


def data(first=0):
    return (batch(step) for step in itertools.count(first)), [batch(10**6), batch(10**6 + 1)]


class AsList(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def train(run, config=CONFIG, callbacks=()):
    keras.utils.set_random_seed(config.seed)
    model = build_model(config, 2)
    training.compile_model(model, config)
    stream, validation = data(len(training.History(run).rows) * config.steps_per_epoch)
    return training.fit(model, (stream, AsList(validation)), config, run, callbacks)


def rows(run):
    with open(run.history, newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def fresh(folder):
    folder.mkdir()
    return Run(folder)


class Dies(keras.callbacks.Callback):
    """Stops the process' training in the middle of an epoch, as a kill would."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def test_a_resumed_training_has_the_history_and_the_weights_of_an_undisturbed_one(tmp_path):
    whole = fresh(tmp_path / "whole")
    train(whole)
    cut = fresh(tmp_path / "cut")
    for death in (Dies(1, 1), Dies(2, 0)):
        with pytest.raises(KeyboardInterrupt):
            train(cut, callbacks=[death])
    assert [row["epoch"] for row in rows(cut)] == ["1", "2"]
    train(cut)
    assert rows(cut) == rows(whole)
    weights = [keras.saving.load_model(run.model, compile=False).get_weights() for run in (whole, cut)]
    assert all(np.array_equal(first, second) for first, second in zip(*weights, strict=True))


def test_dropout_draws_the_same_after_an_interruption(tmp_path, monkeypatch):
    """Encoders drop paths at random, and Keras saves no random state."""

    def with_dropout(config, num_classes):
        image = keras.Input((None, None, 1))
        x = keras.layers.Dropout(0.5)(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image))
        return keras.Model(image, keras.layers.Conv2D(num_classes, 1)(x))

    monkeypatch.setattr(sys.modules[__name__], "build_model", with_dropout)
    whole, cut = fresh(tmp_path / "whole"), fresh(tmp_path / "cut")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(cut, callbacks=[Dies(2, 1)])
    train(cut)
    assert rows(cut) == rows(whole)


@pytest.mark.parametrize("moment", [pytest.param("save", marks=pytest.mark.slow), "save_weights"])
def test_a_kill_while_an_epoch_is_saved_loses_nothing(tmp_path, monkeypatch, moment):
    whole, cut = fresh(tmp_path / "whole"), fresh(tmp_path / "cut")
    train(whole)
    real, calls = getattr(keras.Model, moment), []

    def dies(self, *args, **kwargs):
        calls.append(moment)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, moment, dies)
    with pytest.raises(KeyboardInterrupt):
        train(cut)
    monkeypatch.undo()
    train(cut)
    assert rows(cut) == rows(whole)


def test_the_best_epoch_is_the_one_kept(tmp_path):
    run = fresh(tmp_path / "run")
    history = train(run)
    model = keras.saving.load_model(run.model)
    _, validation = data()
    scores = model.evaluate(AsList(validation), return_dict=True, verbose=0)
    assert scores["f1"] == pytest.approx(history.best["val_f1"], abs=1e-6)
    assert history.best["val_f1"] == max(row["val_f1"] for row in history.rows)


def test_patience_ends_the_training_and_a_rerun_does_not_go_on(tmp_path, monkeypatch):
    config = TrainConfig(**{**CONFIG.to_json(), "epochs": 30, "patience": 2, "learning_rate": 0.0})
    run = fresh(tmp_path / "run")
    history = train(run, config)
    assert len(history.rows) == history.best["epoch"] + 2 < 30
    assert len(train(run, config).rows) == len(history.rows)


def test_nan_stops_the_run_and_says_at_which_step(tmp_path):
    config = TrainConfig(**{**CONFIG.to_json(), "learning_rate": 1e30, "epochs": 2, "steps_per_epoch": 20})
    with pytest.raises(PlanktonError, match=r"The loss is nan at step \d+ of the epoch."):
        train(fresh(tmp_path / "run"), config)


def test_a_damaged_backup_is_an_error_with_its_name(tmp_path):
    run = fresh(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(run, callbacks=[Dies(1, 1)])
    backup = training.History(run).backup(1)
    backup.write_bytes(b"no weights")
    with pytest.raises(ArtefactError, match=f"{backup} is damaged"):
        train(run)


def test_finish_writes_threshold_and_metrics_of_the_best_epoch_and_drops_the_backup(tmp_path):
    run = fresh(tmp_path / "run")
    history = train(run)
    result = training.finish(history, CONFIG, {"classes": ["non-living", "living"]})
    assert json.loads(run.metrics.read_text()) == result
    assert result["val"]["f1"] == history.best["val_f1"]
    assert result["best_epoch"] == history.best["epoch"]
    assert not run.backup.exists()


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth(tmp_path):
    config = TrainConfig(**{**CONFIG.to_json(), "epochs": 10, "steps_per_epoch": 20, "learning_rate": 1.0})
    model = build_model(config, 2)
    training.compile_model(model, config)
    rate = model.optimizer._learning_rate
    # 200 steps: 10 of warm-up from a hundredth to the peak, then a cosine down to a hundredth.
    assert float(rate(0)) == pytest.approx(0.01)
    assert float(rate(10)) == pytest.approx(1.0, abs=1e-6)
    assert float(rate(105)) == pytest.approx((1 + 0.01) / 2, abs=1e-3)
    assert float(rate(200)) == pytest.approx(0.01, abs=1e-6)
