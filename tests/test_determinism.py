"""The same seed on the same machine gives the same; docs/train.md says what, and what is not guaranteed."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from untrained import untrained_run

from plankton_keras import devices, training
from plankton_keras.cli import main
from plankton_keras.config import TrainConfig
from plankton_keras.data.dataset import Stream, evaluation_dataset, training_dataset
from plankton_keras.data.records import read_manifest
from plankton_keras.models import build_model
from plankton_keras.runs import Run

CONFIG = TrainConfig(width=4, depth=2, epochs=1, steps_per_epoch=2, batch_size=2, window=64)


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def bytes_of(folder, *patterns):
    return {path.name: path.read_bytes() for pattern in patterns for path in sorted(folder.glob(pattern))}


def trained(records, folder, seed):
    """Trains as the command does; gives the history without its times, and the weights."""
    folder.mkdir()
    run_of, config, manifest = Run(folder), replace(CONFIG, seed=seed), read_manifest(records)
    devices.prepare("float32", seed)
    model = build_model(config, 2)
    training.compile_model(model, config)
    stream = Stream(batch_size=2, window=64, augmentation="strong", seed=seed, first_step=0)
    datasets = training_dataset(records, manifest, stream), evaluation_dataset(records, manifest, "val", 2).take(1)
    (row,) = training.fit(model, datasets, config, run_of).rows
    return {name: value for name, value in row.items() if name != "seconds"}, model.get_weights()


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model(tiny_records, tmp_path):
    (one, ours), (two, theirs), (other, different) = (
        trained(tiny_records, tmp_path / name, seed) for name, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert one == two != other
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(ours, different, strict=True))


@pytest.fixture(scope="module")
def predictions(tiny_scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    (folder / "run").mkdir()
    model = untrained_run(folder / "run").folder
    for name in ("one", "two"):
        run("predict", model, tiny_scans / "train", "--out", folder / name, "--threshold", 0.5, "--quiet")
    return folder


def test_the_same_model_finds_the_same(predictions):
    one, two = (bytes_of(predictions / name, "*.png", "*.csv", "*.jpg") for name in ("one", "two"))
    assert len(one) == 6
    assert one == two


def test_the_same_predictions_measure_the_same(predictions):
    for name in ("first", "second"):
        run("measure", predictions / "one", "--out", predictions / name, "--dpi", 2400, "--quiet")
    found = [bytes_of(predictions / name, "*.csv", "*.parquet", "*.png", "*.svg") for name in ("first", "second")]
    assert "objects.csv" in found[0]
    assert found[0] == found[1]
