"""kill -9 in the middle, then the same command again: the result of a command that was never killed."""

import csv
import signal
import subprocess
import sys
import time

import pytest

from plankton_keras.synthetic import write_scans

pytestmark = pytest.mark.slow
SMALL = ("--width", "4", "--depth", "3", "--epochs", "4", "--steps-per-epoch", "6", "--window", "128")


def command(*words):
    return [sys.executable, "-m", "plankton_keras", *(str(word) for word in words)]


def run(*words):
    return subprocess.run(command(*words), check=True, capture_output=True, text=True)


def kill_when(words, is_time, seconds=120):
    """Starts a command and kills it as soon as `is_time()` holds."""
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + seconds
    while not is_time() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the command ended before it could be killed"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder, train=3, val=1, test=2, size=(1024, 768))
    return folder


@pytest.fixture(scope="module")
def whole(scans, tmp_path_factory):
    """What the commands write when nobody disturbs them."""
    folder = tmp_path_factory.mktemp("whole")
    run("make-tfrecords", scans, "--out", folder / "records", "--patch-size", 128)
    run("train", folder / "records", "--out", folder / "run", *SMALL)
    run("predict", folder / "run", scans / "test", "--out", folder / "predictions")
    return folder


def content(folder, pattern):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


@pytest.mark.parametrize("moment", [".spools/*.json", ".spools/val*", "train-*", "val-*"])
def test_make_tfrecords(scans, whole, tmp_path, moment):
    out = tmp_path / "records"
    words = ("make-tfrecords", scans, "--out", out, "--patch-size", 128)
    kill_when(words, lambda: any(out.glob(moment)))
    assert not (out / "manifest.json").exists()
    run(*words, "--resume")
    for pattern in ("*.tfrecord", "manifest.json"):
        assert content(out, pattern) == content(whole / "records", pattern)
    assert not (out / ".spools").exists()


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("moment", ["config.json", "model.keras", "backup/epoch-0002*", "backup/.partial-epoch-0003*"])
def test_train(whole, tmp_path, moment):
    out = tmp_path / "run"
    words = ("train", whole / "records", "--out", out, *SMALL)
    kill_when(words, lambda: any(out.glob(moment)))
    run(*words, "--resume")
    assert history(out) == history(whole / "run")
    assert (out / "thresholds.json").read_bytes() == (whole / "run" / "thresholds.json").read_bytes()


def test_train_with_an_encoder(whole, tmp_path):
    """A graph this large is where TensorFlow's own rewriting would differ from process to process."""
    words = ("train", whole / "records", "--model", "efficientnet_b0_unet", "--weights", "none", "--epochs", 3)
    words = (*words, "--steps-per-epoch", 4, "--window", 128)
    run(*words, "--out", tmp_path / "whole")
    out = tmp_path / "killed"
    kill_when((*words, "--out", out), lambda: any(out.glob("backup/epoch-0001*")))
    run(*words, "--out", out, "--resume")
    assert history(out) == history(tmp_path / "whole")


@pytest.mark.parametrize("moment", ["*_mask.png", "*_objects.csv", ".partial-*"])
def test_predict(scans, whole, tmp_path, moment):
    out = tmp_path / "predictions"
    words = ("predict", whole / "run", scans / "test", "--out", out)
    kill_when(words, lambda: any(out.glob(moment)))
    run(*words)
    for pattern in ("*_mask.png", "*_objects.csv", "*_overlay.jpg"):
        assert content(out, pattern) == content(whole / "predictions", pattern)
