"""Scans dealt out to processes: the same results wherever they are done, whoever dies."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plankton_keras.cluster import HERE, Crew, deal
from plankton_keras.errors import InputError, PlanktonError, SettingError
from plankton_keras.synthetic import write_scans

TWO = Crew(workers=2)


def half(number, tell):
    """Halves even numbers; odd ones are bad."""
    tell(1, 10)
    if number % 2:
        raise InputError(f"{number} is odd.", "an even number.", "choose another.")
    tell(10, 10)
    return number // 2


def dies_once(marker, tell):
    """Ends its process the first time that it gets this marker."""
    if marker.name == "fine":
        return "fine"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done again"


def dies(number, tell):
    """Ends its process at 13."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def process_and_threads(number, tell):
    """Tells where it runs and by how many threads, as those see it that count for themselves."""
    import cv2

    from plankton_keras.threads import cores

    time.sleep(0.3)  # So that one process cannot take both.
    return os.getpid(), cores(), cv2.getNumThreads(), os.environ["TF_NUM_INTRAOP_THREADS"]


def warns(number, tell):
    """Says something on the way."""
    logging.getLogger("plankton_keras.scans").warning("scan %d is in colour", number)
    logging.getLogger("plankton_keras.scans").info("nothing but news")


def is_wrong(number, tell):
    """Has a bug at 2."""
    return 1 / (number - 2)


def refuses(number, tell):
    """Cannot work with these settings at all."""
    raise SettingError("--gray-range is 'x'.", "LOW:HIGH.", "use for example 599:50043.")


def needs_memory(number, tell):
    """Asks for more memory than there is at 2."""
    return bytearray(number if number != 2 else 1 << 60) and number


def sleeps(path, tell):
    """Says its process, and works for a long time without a word."""
    path.write_text(str(os.getpid()))
    time.sleep(60)


def outcomes(function, items, crew, **more):
    found = sorted(deal(function, items, crew, **more), key=lambda outcome: outcome.index)
    assert [outcome.index for outcome in found] == list(range(len(items)))
    return [outcome.error.what if outcome.error else outcome.value for outcome in found]


@pytest.mark.parametrize("crew", [HERE, TWO], ids=["this process", "two processes"])
def test_a_bad_item_is_a_result_and_the_others_go_on(crew):
    assert outcomes(half, [4, 3, 8, 5, 0], crew) == [2, "3 is odd.", 4, "5 is odd.", 0]


@pytest.mark.parametrize("crew", [HERE, TWO], ids=["this process", "two processes"])
def test_progress_ends_at_all_pixels_of_what_is_good(crew):
    said = []
    outcomes(half, [4, 3, 8], crew, progress=lambda *words: said.append(words), names=["a", "b", "c"])
    # The first word counts what has not begun as large as the one that has.
    assert said[0][:2] == (1, 30)
    assert said[-1][:2] == (20, 20)
    assert {name for *_, name in said} == {"a", "b", "c"}


def test_a_worker_that_dies_is_replaced_and_its_item_done_again(tmp_path, caplog):
    items = [tmp_path / name for name in ("fine", "deadly", "fine", "fine")]
    with caplog.at_level(logging.WARNING):
        assert outcomes(dies_once, items, TWO, names="wxyz") == ["fine", "done again", "fine", "fine"]
    assert "A worker died (exit code -9) at x; it is done again" in caplog.text


def test_an_item_that_kills_its_worker_three_times_is_an_error_that_names_it(caplog):
    found = outcomes(dies, [1, 13, 2, 3], TWO, names=["a", "b", "c", "d"])
    assert found == [1, "b ended the process that worked on it 3 times.", 2, 3]
    assert caplog.text.count("A worker died") == 2


def test_a_worker_without_memory_ends_the_command_in_plain_words():
    with pytest.raises(PlanktonError) as caught:
        list(deal(needs_memory, [1, 2, 3], Crew(workers=2)))
    assert caught.value.what == "The memory is not enough."
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_started_them(tmp_path, how):
    """They would write files of the same names as the next call."""
    code = (
        "import sys, pathlib, test_cluster; from plankton_keras.cluster import Crew, deal\n"
        "if __name__ == '__main__':\n"
        "    list(deal(test_cluster.sleeps, [pathlib.Path(each) for each in sys.argv[1:]], Crew(workers=2)))"
    )
    paths = [tmp_path / "a", tmp_path / "b"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", code, *paths], env=environment) as process:
        deadline = time.monotonic() + 120
        while not all(path.is_file() and path.read_text() for path in paths):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
    workers = [Path("/proc", path.read_text()) for path in paths]
    deadline = time.monotonic() + 20
    while any(worker.exists() and "(zombie)" not in (worker / "status").read_text() for worker in workers):
        assert time.monotonic() < deadline, "the workers go on"
        time.sleep(0.01)


def test_the_cores_are_shared_by_the_workers():
    (first, *threads), (second, *others) = outcomes(process_and_threads, [0, 1], TWO)
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert threads == others == [share, share, str(share)]
    assert len({first, second, os.getpid()}) == 3


def test_messages_of_workers_are_said_where_the_command_was_given(caplog):
    with caplog.at_level(logging.INFO):
        outcomes(warns, [1, 2], TWO)
    assert sorted(set(caplog.messages)) == ["nothing but news", "scan 1 is in colour", "scan 2 is in colour"]


def test_a_bug_in_a_worker_ends_the_command_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"return 1 / \(number - 2\)\n(.|\n)*ZeroDivisionError"):
        outcomes(is_wrong, [0, 2, 4], TWO)


def test_what_is_no_fault_of_a_scan_ends_the_command():
    with pytest.raises(SettingError) as caught:
        outcomes(refuses, [0, 1], TWO)
    assert caught.value.fix == "use for example 599:50043."


def test_workers_and_a_scheduler_exclude_each_other():
    with pytest.raises(SettingError, match="--workers 2 and --scheduler are both given"):
        Crew(workers=2, scheduler="tcp://host:8786")


def test_only_a_cluster_gets_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(TWO.reach("a/b")) == "a/b"
    assert Crew(scheduler="tcp://host:8786").reach("a/b") == tmp_path / "a" / "b"


def test_what_a_worker_wrote_elsewhere_is_missed(tmp_path):
    (tmp_path / "here").touch()
    TWO.check_written([tmp_path / "here"])
    with pytest.raises(PlanktonError, match=f"A worker wrote {tmp_path / 'there'}, which is not here."):
        TWO.check_written([tmp_path / "here", tmp_path / "there"])


def test_a_cluster_without_dask_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingError) as caught:
        Crew(scheduler="tcp://127.0.0.1:1").check()
    assert str(caught.value) == (
        "--scheduler needs Dask, which is not installed.\n"
        "Expected: the extra `cluster`.\n"
        'Fix: pip install ".[cluster]" --constraint constraints.txt'
    )


def command(*words):
    return [sys.executable, "-m", "plankton_keras", *(str(word) for word in words)]


def run(*words):
    subprocess.run(command(*words), check=True, capture_output=True, timeout=300)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def content(folder, *patterns):
    return {path.name: path.read_bytes() for pattern in patterns for path in folder.glob(pattern)}


def wait_for(is_time, seconds=120):
    deadline = time.monotonic() + seconds
    while not is_time():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder, train=3, val=1, test=6, size=(2048, 1536))
    return folder


@pytest.fixture(scope="module")
def alone(scans, tmp_path_factory):
    """What one process writes."""
    folder = tmp_path_factory.mktemp("alone")
    run("make-tfrecords", scans, "--out", folder / "records", "--patch-size", 128)
    small = ("--width", "4", "--depth", "3", "--epochs", "2", "--steps-per-epoch", "6", "--window", "128")
    run("train", folder / "records", "--out", folder / "run", *small)
    run("predict", folder / "run", scans / "test", "--out", folder / "predictions")
    return folder


def test_workers_need_not_wait_until_the_process_that_deals_has_loaded_tensorflow(scans, alone, tmp_path):
    out, code = (
        tmp_path / "records",
        (
            "import sys; from plankton_keras.cli import main; main(sys.argv[1:], standalone_mode=False)\n"
            "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
        ),
    )
    words = ("make-tfrecords", scans, "--out", out, "--patch-size", 128, "--workers", 2)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert content(out, "*.tfrecord", "manifest.json") == content(alone / "records", "*.tfrecord", "manifest.json")


@contextlib.contextmanager
def cluster(tmp_path):
    """Starts a scheduler and two workers as processes; gives its address and the workers."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask, plain = [sys.executable, "-m", "dask"], ["--no-dashboard"]
    # The workers find the functions of this file.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    own = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", str(tmp_path / "dask")]
    with open(tmp_path / "dask.log", "w") as log, contextlib.ExitStack() as stack:

        def start(*words):
            process = subprocess.Popen([*dask, *words, *plain], stdout=log, stderr=log, env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])
        yield address, [start("worker", address, *own) for _ in range(2)]


@pytest.mark.slow
def test_a_cluster_gives_what_this_process_gives(tmp_path, caplog):
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    said = []
    with cluster(tmp_path) as (address, _), caplog.at_level(logging.WARNING):
        crew = Crew(scheduler=address)
        assert outcomes(half, [4, 3, 8], crew, progress=lambda *words: said.append(words)) == [2, "3 is odd.", 4]
        assert {found[1:] for found in outcomes(process_and_threads, [0, 1], crew)} == {(1, 1, "1")}
        outcomes(warns, [7], crew)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            outcomes(is_wrong, [2], crew)
    assert (1, 30) in [words[:2] for words in said]
    assert "scan 7 is in colour" in caplog.messages


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_changes_no_byte(scans, alone, tmp_path):
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    with cluster(tmp_path) as (address, workers):
        records, predictions = tmp_path / "records", tmp_path / "predictions"
        words = ("make-tfrecords", scans, "--out", records, "--patch-size", 128, "--scheduler", address)
        with subprocess.Popen(command(*words)) as process:
            wait_for(lambda: any(records.glob(".spools/*.json")))
            workers[0].kill()
            assert process.wait(120) == 0
        for patterns in ("*.tfrecord", "manifest.json"):
            assert content(records, patterns) == content(alone / "records", patterns)
        words = ("predict", alone / "run", scans / "test", "--out", predictions, "--scheduler", address)
        with subprocess.Popen(command(*words)) as process:
            wait_for(lambda: any(predictions.glob("*_mask.png")))
            # A worker that comes late gets its share; the only one that there was dies.
            workers[1].kill()
            with subprocess.Popen(workers[1].args, stderr=subprocess.DEVNULL) as late:
                assert process.wait(120) == 0
                late.kill()
    files = "*_mask.png", "*_objects.csv", "*_overlay.jpg"
    assert content(predictions, *files) == content(alone / "predictions", *files)


@pytest.mark.slow
def test_local_workers_that_are_interrupted_leave_what_is_done(scans, alone, tmp_path):
    out = tmp_path / "predictions"
    words = ("predict", alone / "run", scans / "test", "--out", out, "--workers", 2)
    # Tests that a script runs in the background ignore Ctrl-C, and what they start would inherit that.
    of_terminal = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True, **of_terminal) as process:
        wait_for(lambda: any(out.glob("*_mask.png")))
        # As the terminal does: to all processes of the command.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.endswith("Fix: go on with: plankton " + " ".join(str(word) for word in words) + "\n")
    assert "Traceback" not in said
    run(*words)
    files = "*_mask.png", "*_objects.csv", "*_overlay.jpg"
    assert content(out, *files) == content(alone / "predictions", *files)


def test_a_scheduler_that_does_not_answer_is_an_error():
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(PlanktonError) as caught:
        Crew(scheduler=address).check()
    assert caught.value.what == f"--scheduler {address} does not answer."
    assert caught.value.exit_code == 2
