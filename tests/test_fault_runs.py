"""Whole commands that are killed, starved or interfered with at any moment: the next call gives the undisturbed result.

The commands are forks of a process that has loaded everything (`warm`). 50 kills at random moments are dealt to four
commands; what a moment is counts in CPU, so that a busy machine kills as early as an idle one.
"""

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from warm import Warm

from plankton_keras.synthetic import write_scans

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="moments are counted by Linux' /proc"),
]
SMALL = ("--width", 4, "--depth", 2, "--epochs", 3, "--steps-per-epoch", 2, "--window", 64, "--batch-size", 2)
# How often each command is killed: 50 times in all.
KILLS = {"make-tfrecords": 15, "train": 10, "predict": 15, "measure": 10}
# How the same command goes on.
AGAIN = {"make-tfrecords": ("--resume",), "train": ("--resume",), "predict": (), "measure": ("--overwrite",)}
FULL = (
    r"^{out}.* cannot be written: No space left on device\.\nExpected: room on the disk, and the right to write there\."
)


@pytest.fixture(scope="module")
def warm():
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="module")
def chain(warm, tmp_path_factory):
    """What the commands write when nobody disturbs them, and the seconds of CPU that each takes."""
    folder, seconds = tmp_path_factory.mktemp("whole"), {}
    write_scans(folder / "scans", train=2, val=1, test=3, size=(320, 256))
    for command in KILLS:
        seconds[command] = warm.run(*words_of(command, folder, folder / command)).seconds
    return folder, seconds


def words_of(command, chain, out):
    """Gives the words of a command that writes to `out` what is made of the undisturbed results before it."""
    given = {
        "make-tfrecords": (chain / "scans", "--patch-size", 64),
        "train": (chain / "make-tfrecords", *SMALL, "--pixels-only"),
        "predict": (chain / "train", chain / "scans" / "test", "--threshold", 0.3, "--min-area", 10),
        "measure": (chain / "predict", "--dpi", 2400),
    }
    return command, *given[command], "--out", out


def results(command, out):
    """Gives what a command's result is, without times and paths."""
    assert not [path.name for path in out.rglob(".partial-*")]
    if command == "make-tfrecords":
        return {path.name: path.read_bytes() for path in (*out.glob("*.tfrecord"), out / "manifest.json")}
    if command == "train":
        with open(out / "history.csv", newline="") as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        return rows, (out / "thresholds.json").read_bytes(), (out / "metrics.json").is_file()
    if command == "predict":
        return {path.name: path.read_bytes() for path in out.glob("*_*")}
    # Packages and pages say when they were made: of these the pictures, and that they are there.
    made = {path.name: path.read_bytes() if path.suffix == ".csv" else None for path in out.rglob("*")}
    for path in out.glob("*.zip"):
        with zipfile.ZipFile(path) as package:
            made |= {name: package.read(name) for name in package.namelist() if name.endswith(".png")}
    return made


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("command", KILLS)
def test_a_kill_at_a_random_moment_costs_time_only(warm, chain, tmp_path, command, part):
    folder, seconds = chain
    generator, count = random.Random(f"{command} {part}"), KILLS[command] // 5
    for number in range(count):
        out, how = tmp_path / str(number), generator.choice([signal.SIGKILL, signal.SIGTERM])
        moment = generator.random() * seconds[command]
        running = warm.start(*words_of(command, folder, out))
        running.kill_when(lambda running=running, moment=moment: running.spent() >= moment, how)
        assert running.wait().code in (-how, 0)
        warm.run(*words_of(command, folder, out), *(AGAIN[command] if out.exists() else ()))
        assert results(command, out) == results(command, folder / command)


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system of so many KiB, or gives the one that is there another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def size(kibibytes, *more):
        options = ",".join([*more, f"size={kibibytes}k"])
        if subprocess.call(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], stderr=subprocess.DEVNULL):
            pytest.skip("a file system can only be mounted by root")
        return folder

    yield size
    subprocess.call(["umount", "--lazy", folder])


def used(folder):
    """Counts the KiB that files take in blocks of 4."""
    return sum(4 * -(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("command", KILLS)
def test_a_full_disk_is_said_leaves_no_half_file_and_costs_time_only(warm, chain, disk, command):
    folder, _ = chain
    whole, failed = used(folder / command), 0
    for share in (0.2, 0.5, 0.8) if command == "train" else (0.1, 0.3, 0.5, 0.7, 0.9):
        out = disk(int(share * whole)) / "out"
        ended = warm.start(*words_of(command, folder, out)).wait()
        if ended.code:
            failed += 1
            assert re.search(FULL.format(out=out), ended.said, re.MULTILINE), ended.said
            # At the end h5py says for itself that it cannot close what it could not write.
            assert "Traceback" not in ended.said.partition("Exception ignored in: 'h5py")[0]
        for path in out.rglob("*.png") if command == "predict" else out.glob("*.tfrecord"):
            assert path.read_bytes() == (folder / command / path.name).read_bytes()
        disk(100_000, "remount")
        warm.run(*words_of(command, folder, out), *(AGAIN[command] if out.exists() else ()))
        assert results(command, out) == results(command, folder / command)
        subprocess.check_call(["umount", out.parent])
    assert failed >= 2


@pytest.mark.parametrize("command", KILLS)
def test_a_read_only_folder_is_said_in_one_message(warm, chain, disk, command):
    out = disk(1000, "ro") / "out"
    said = warm.run(*words_of(command, chain[0], out), code=1).said
    assert said.endswith(
        f"{out} cannot be written: Read-only file system.\nExpected: room on the disk, and the right to write there.\n"
        "Fix: make room, or choose another place; then give the command again.\n"
    )
    assert "Traceback" not in said


@pytest.mark.parametrize("command", KILLS)
def test_the_second_of_two_commands_in_a_folder_is_refused_and_the_first_is_not_disturbed(
    warm, chain, tmp_path, command
):
    folder, out = chain[0], tmp_path / "out"
    words = words_of(command, folder, out)
    first = warm.start(*words)
    try:
        while not re.search(rf"FLOCK +ADVISORY +WRITE +{first.pid} ", Path("/proc/locks").read_text()):
            assert not first.is_over(), first.wait().said
            time.sleep(0.001)
        os.kill(first.pid, signal.SIGSTOP)
        for more in ((), ("--overwrite",)):
            said = warm.run(*words, *more, code=4).said
            assert f"Another command is writing to {out}.\nExpected: one command at a time in a folder.\n" in said
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert first.wait().code == 0
    assert results(command, out) == results(command, folder / command)


def children(pid):
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def spawned(pid):
    """Lists the workers of a command; the process that keeps their semaphores is none."""
    return [each for each in children(pid) if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_a_worker_that_the_system_kills_costs_time_only(warm, chain, tmp_path):
    folder, out = chain[0], tmp_path / "out"
    running = warm.start(*words_of("predict", folder, out), "--workers", 2)
    while not spawned(running.pid):
        assert not running.is_over()
        time.sleep(0.01)
    os.kill(spawned(running.pid)[0], signal.SIGKILL)
    ended = running.wait()
    assert ended.code == 0, ended.said
    assert re.search(r"A worker died \(exit code -9\) at rg\w+\.png\.ppm; it is done again", ended.said)
    assert results("predict", out) == results("predict", folder / "predict")


def test_a_scan_that_changes_between_prediction_and_measuring_is_refused(warm, chain, tmp_path):
    scans, predictions = tmp_path / "scans", tmp_path / "predictions"
    shutil.copytree(chain[0] / "scans" / "test", scans)
    warm.run("predict", chain[0] / "train", scans, "--threshold", 0.3, "--out", predictions)
    scan = next(scans.glob("*_scan*"))
    scan.write_bytes(scan.read_bytes()[:-1] + b"\x07")
    said = warm.run("measure", predictions, "--out", tmp_path / "measures", "--dpi", 2400, code=3).said
    assert f"{scan} is not the scan that was predicted.\n" in said
    # Prediction finds it changed, and does it again.
    warm.run("predict", chain[0] / "train", scans, "--threshold", 0.3, "--out", predictions)
    warm.run("measure", predictions, "--out", tmp_path / "measures", "--dpi", 2400, "--overwrite")


def test_a_scan_that_vanishes_is_listed_as_failed_and_the_others_are_done(warm, chain, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    shutil.copytree(chain[0] / "scans" / "test", scans)
    first, *_, last = sorted(scans.glob("*_scan*"))
    running = warm.start("predict", chain[0] / "train", scans, "--threshold", 0.3, "--out", out)
    while not out.exists():
        time.sleep(0.001)
    last.unlink()
    ended = running.wait()
    assert ended.code == 3, ended.said
    assert f"failed: {last.name}: {last} cannot be read: No such file or directory." in ended.said
    assert f"{first.name.removesuffix('_scan.png.ppm')}: " in ended.said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.keras", r"{path} is damaged\."),
        ("provenance.json", r"{path} is damaged: "),
        ("thresholds.json", r"{path} is damaged: "),
    ],
)
def test_a_flipped_bit_of_a_run_is_found_before_anything_is_predicted(warm, chain, tmp_path, name, said):
    run, generator = tmp_path / "run", random.Random(name)
    shutil.copytree(chain[0] / "train", run)
    whole = (run / name).read_bytes()
    for _ in range(5):
        place = generator.randrange(len(whole))
        (run / name).write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        ended = warm.start("predict", run, chain[0] / "scans" / "test", "--out", tmp_path / "out").wait()
        assert ended.code == 4, ended.said
        assert re.search(said.format(path=run / name), ended.said)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["backup/epoch-0001.weights.h5", "backup/epoch-0001.json", "history.csv", "model.keras"]
)
def test_a_run_that_was_cut_and_then_damaged_is_not_resumed_to_a_wrong_result(warm, chain, tmp_path, name):
    out = tmp_path / "run"
    words = words_of("train", chain[0], out)
    running = warm.start(*words)
    running.kill_when((out / "history.csv").exists, signal.SIGKILL)
    assert running.wait().code == -signal.SIGKILL
    path = out / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
    ended = warm.start(*words, "--resume").wait()
    if ended.code == 0:
        # A later epoch was better, so that what was damaged is not what is used.
        assert results("train", out) == results("train", chain[0] / "train")
    else:
        assert ended.code == 4, ended.said
        assert re.search(rf"^{path} is (missing or )?damaged", ended.said, re.MULTILINE)
        assert "Fix: train anew with --overwrite.\n" in ended.said
        warm.run(*words, "--overwrite")
        assert results("train", out) == results("train", chain[0] / "train")
