"""Several devices train what one would: who takes part, who gets which rows, and that the history is the same."""

import contextlib
import csv
import importlib.util
import json
import os
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from plankton_keras import devices, schema, training
from plankton_keras.config import TrainConfig
from plankton_keras.data.dataset import evaluation_dataset, own_rows
from plankton_keras.data.records import read_manifest
from plankton_keras.data.vignette_dataset import evaluation_vignettes
from plankton_keras.errors import ArtefactError, SettingError

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="the extra jax is not installed")
JOB = dict(zip(devices.JOB, ("127.0.0.1:1234", "2", "1"), strict=True))


def test_a_batch_is_dealt_out_equally_or_refused():
    assert devices.Team(devices=4, processes=2).share(8) == 2
    with pytest.raises(SettingError, match="--batch-size is 6, but 4 devices") as caught:
        devices.Team(devices=4).share(6)
    assert "--batch-size 8" in caught.value.fix


def test_alone_nobody_is_joined(monkeypatch):
    joined = []
    monkeypatch.setattr(keras.distribution, "initialize", lambda: joined.append("joined"))
    devices._join({})
    assert joined == []


def test_half_a_job_is_refused():
    with pytest.raises(SettingError, match="KERAS_DISTRIBUTION_PROCESS_ID is not set"):
        devices._join({**JOB, "KERAS_DISTRIBUTION_PROCESS_ID": ""})


def test_tensorflow_does_not_train_in_several_processes():
    with pytest.raises(SettingError, match="KERAS_BACKEND is tensorflow"):
        devices._join(JOB)


def test_processes_meet_before_anything_asks_for_devices(monkeypatch):
    order = []
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "initialize", lambda: order.append("met"))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: order.append("asked") or ["cpu:0"])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *_: None)
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    monkeypatch.setattr(tf.config.optimizer, "set_experimental_options", lambda _: None)
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    devices.prepare("auto", 0)
    assert order == ["met", "asked"]


def see(monkeypatch, backend, names):
    """Has the backend be another, with other devices, and records what is made of them."""
    made = {}
    parallel = types.SimpleNamespace(num_processes=2, data_shard_id=1, scope=lambda: contextlib.nullcontext("jax"))
    mirrored = types.SimpleNamespace(scope=lambda: contextlib.nullcontext("mirrored"))
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: names)
    monkeypatch.setattr(keras.distribution, "DataParallel", lambda **words: made.update(words) or parallel)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda names: made.update(names=names) or mirrored)
    return made


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_one_device_trains_as_ever(monkeypatch, backend):
    made = see(monkeypatch, backend, ["gpu:0"])
    assert devices.team() == devices.Team()
    with devices.scope() as entered:
        assert entered is None
    assert made == {}


def test_tensorflow_mirrors_over_gpus(monkeypatch):
    made = see(monkeypatch, "tensorflow", ["gpu:0", "gpu:1"])
    assert devices.team() == devices.Team(devices=2)
    with devices.scope() as entered:
        assert entered == "mirrored"
    assert made == {"names": ["gpu:0", "gpu:1"]}


def test_jax_spreads_over_the_devices_of_all_processes(monkeypatch):
    made = see(monkeypatch, "jax", ["gpu:0", "gpu:1", "gpu:2", "gpu:3"])
    assert devices.team() == devices.Team(devices=4, processes=2, process=1)
    with devices.scope() as entered:
        assert entered == "jax"
    assert made == {"auto_shard_dataset": False}


def test_processes_go_on_from_the_same_epoch_only(monkeypatch):
    history = types.SimpleNamespace(rows=[{}] * 3)
    training.check_same_epoch(history, processes=1)
    gather = types.ModuleType("multihost_utils")
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    monkeypatch.setitem(sys.modules, "jax.experimental", types.ModuleType("jax.experimental"))
    monkeypatch.setitem(sys.modules, "jax.experimental.multihost_utils", gather)
    sys.modules["jax.experimental"].multihost_utils = gather
    gather.process_allgather = lambda mine: np.stack([mine, mine])
    training.check_same_epoch(history, processes=2)
    gather.process_allgather = lambda mine: np.stack([mine, mine + 1])
    with pytest.raises(ArtefactError, match="3 and 4 epochs"):
        training.check_same_epoch(history, processes=2)


def test_the_rows_of_the_processes_in_turn_are_the_batch():
    batches = tf.data.Dataset.from_tensor_slices(({"image": np.arange(12.0)}, np.arange(12))).batch(8)
    assert own_rows(batches, 0, 1) is batches
    shares = [list(own_rows(batches, process, 2).as_numpy_iterator()) for process in range(2)]
    for (images, labels), *parts in zip(batches.as_numpy_iterator(), *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate([part[0]["image"] for part in parts]), images["image"])
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)


def test_validation_is_filled_up_so_that_every_device_has_as_many(tiny_records):
    manifest = read_manifest(tiny_records)
    count = manifest.count("val", schema.PATCHES)
    whole = list(evaluation_dataset(tiny_records, manifest, "val", 6).unbatch().as_numpy_iterator())
    filled = evaluation_dataset(tiny_records, manifest, "val", 6, multiple=3)
    images = [image for image, _ in filled.unbatch().as_numpy_iterator()]
    assert len(whole) == count
    assert len(images) == -(-count // 3) * 3
    assert int(filled.cardinality()) == -(-len(images) // 6)
    np.testing.assert_array_equal(images, ([image for image, _ in whole] * 2)[: len(images)])


def test_vignettes_are_filled_up_too():
    vignettes = np.zeros((4, 8, 8, 1), np.uint8), np.ones((4, 1), np.float32), np.arange(4, dtype=np.int32)
    labels = [label.tolist() for _, label in evaluation_vignettes(vignettes, 3, multiple=3).as_numpy_iterator()]
    assert labels == [[0, 1, 2], [3, 0, 1]]


def test_compile_model_shares_loss_and_clipping_among_replicas(monkeypatch):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 1)])
    said = {}
    monkeypatch.setattr(model, "compile", lambda **words: said.update(words))
    for replicas in (1, 4):
        monkeypatch.setattr(training, "_replicas", lambda _, replicas=replicas: replicas)
        training.compile_model(model, TrainConfig(steps_per_epoch=2))
        assert (said["loss_weights"], said["optimizer"].clipnorm) == (1 / replicas, 1 / replicas)


# Two logical CPUs stand for two GPUs.
LOGICAL = """
import json, sys
import tensorflow as tf
cpus = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], cpus)
"""
# Without batch normalisation, Dice and Adam, which forgives a gradient of the wrong size, nothing may differ.
STEPS = """
import keras, numpy as np
from plankton_keras import devices, training
from plankton_keras.config import TrainConfig
devices.prepare("float32", 0)
training.ThawingAdamW = lambda rate, **_: keras.optimizers.SGD(0.5)
with devices.scope():
    layers = keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Conv2D(2, 1)
    model = keras.Sequential([keras.Input((16, 16, 1)), *layers])
    training.compile_model(model, TrainConfig(loss="focal", epochs=1, steps_per_epoch=3))
images = np.random.default_rng(0).uniform(0, 255, (12, 16, 16, 1)).astype("float32")
masks = (images[:, 1:-1, 1:-1] > 128).astype("uint8")
data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
loss = model.fit(data, verbose=0).history["loss"]
found = model.evaluate(data, verbose=0, return_dict=True)
weights = [weight.tolist() for weight in model.get_weights()]
lone = len(model.predict_on_batch(images[:4]))
print(json.dumps({"devices": devices.team().devices, "lone": lone, "loss": loss, "found": found, "weights": weights}))
"""
FROZEN = """
import keras, numpy as np
from plankton_keras import devices, training
from plankton_keras.config import TrainConfig
from plankton_keras.models import build_model
devices.prepare("float32", 0)
config = TrainConfig(model="mobilenet_075_unet", weights="none", frozen_epochs=1, epochs=3, steps_per_epoch=2)
with devices.scope():
    model = build_model(config, 2)
    training.compile_model(model, config)
encoder = model.get_layer("encoder").trainable_variables
before = [keras.ops.convert_to_numpy(variable) for variable in encoder]
images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 1)).astype("float32")
model.fit(tf.data.Dataset.from_tensors((images, (images > 128).astype("uint8"))).repeat(2), verbose=0)
moved = [np.abs(copy - old).max() for new, old in zip(encoder, before) for copy in new.value.values]
print(json.dumps({"copies": len(moved) // len(before), "moved": float(max(moved))}))
"""
COMMAND = """
from plankton_keras.cli import main
main(sys.argv[2:])
"""
SMALL = ("--width", 4, "--depth", 2, "--epochs", 3, "--steps-per-epoch", 4, "--window", 64, "--learning-rate", 0.01)
SMALL = (*SMALL, "--augmentation", "light", "--pixels-only", "--json", "--quiet")


def on_cpus(count, code, *words):
    """Runs code on logical CPUs and gives the JSON that it prints."""
    words = [sys.executable, "-c", LOGICAL + code, str(count), *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one():
    one, two = (on_cpus(count, STEPS) for count in (1, 2))
    assert (one.pop("devices"), two.pop("devices")) == (1, 2)
    # Each replica predicts the whole of a lone batch, which is why `tensorboard.PatchBoard` cuts it.
    assert (one.pop("lone"), two.pop("lone")) == (4, 8)
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["found"] == pytest.approx(one["found"], rel=1e-5)
    for ours, theirs in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_frozen_encoder_stays_frozen_in_every_replica():
    assert on_cpus(2, FROZEN) == {"copies": 2, "moved": 0.0}


@pytest.mark.slow
def test_mirrored_training_comes_close_to_that_of_one_device(tiny_records, tmp_path):
    """Not to the digit: batch normalisation and Dice see two patches at a time instead of four.

    A loss that is not shared among the replicas would be twice as large, so that 5 % tells it apart.
    """
    for count in (1, 2):
        on_cpus(count, COMMAND, "train", tiny_records, "--out", tmp_path / str(count), *SMALL)
    for one, two in zip(history(tmp_path / "1"), history(tmp_path / "2"), strict=True):
        for name in ("loss", "val_loss"):
            assert two[name] == pytest.approx(one[name], rel=0.05)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(words, **environment):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **environment}
    words = [sys.executable, "-m", "plankton_keras", *(str(word) for word in words)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    """Waits for processes that wait for each other, and checks that all ended well."""
    try:
        said = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said


def together(words, outs):
    """Runs a command in as many processes as there are folders."""
    job = {
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        devices.JOB[0]: f"127.0.0.1:{free_port()}",
        devices.JOB[1]: str(len(outs)),
    }
    finish(*(start([*words, "--out", out], **job, **{devices.JOB[2]: str(i)}) for i, out in enumerate(outs)))


@pytest.mark.slow
@needs_jax
def test_two_jax_processes_write_the_history_of_one(tiny_records, tmp_path):
    words = ("train", tiny_records, *SMALL)
    outs = [tmp_path / "0", tmp_path / "1"]
    finish(start([*words, "--out", tmp_path / "alone"]))
    together(words, outs)
    for one, *several in zip(history(tmp_path / "alone"), *map(history, outs), strict=True):
        for row in several:
            assert row == pytest.approx(one, rel=1e-3)
    assert json.loads((outs[0] / "metrics.json").read_text())["epochs"] == 3


@pytest.mark.slow
@needs_jax
def test_two_local_devices_write_the_history_of_one(tiny_records, tmp_path):
    words = ("train", tiny_records, *SMALL)
    for count in (1, 2):
        flags = f"--xla_force_host_platform_device_count={count}"
        finish(start([*words, "--out", tmp_path / str(count)], XLA_FLAGS=flags))
    for one, two in zip(history(tmp_path / "1"), history(tmp_path / "2"), strict=True):
        assert two == pytest.approx(one, rel=1e-3)
