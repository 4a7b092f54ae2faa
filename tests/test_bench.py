"""`make bench` takes turns, divides and samples rightly, and times nothing that does not agree."""

import argparse
import json
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from plankton_keras.config import TrainConfig
from plankton_keras.patches import windows_of
from plankton_keras.scans import open_pair
from plankton_keras.synthetic import write_scans
from plankton_keras.tiles import Window

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS, PEERS = ROOT / "benchmarks", ROOT / ".venv-bench" / "bin" / "python"
sys.path.insert(0, str(BENCHMARKS))

import bench  # noqa: E402
import comparisons  # noqa: E402
import growth  # noqa: E402
import inputs  # noqa: E402
import memory  # noqa: E402
import timing  # noqa: E402
from workers import Worker  # noqa: E402

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_scans(folder, train=1, val=1, test=2, size=(320, 256), seed=3)
    return inputs.find_sources(folder)


def test_jobs_take_turns():
    calls = []
    jobs = {name: (lambda name=name: calls.append(name) or float(len(calls))) for name in "ab"}
    assert timing.by_turns(jobs, rounds=3) == {"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]}
    assert "".join(calls) == "ababab"


def test_ratios_are_those_of_each_round():
    assert timing.ratio([8.0, 6.0, 9.0], [4.0, 2.0, 2.0]) == {"median": 3.0, "least": 2.0, "most": 4.5}
    # Not that of the medians, which would be 2.
    assert timing.ratio([1.0, 8.0, 30.0], [1.0, 4.0, 5.0])["median"] == 2.0
    assert timing.ratio([1.0, 8.0, 30.0], [5.0, 4.0, 1.0])["median"] == 2.0
    assert timing.ratio([4.0, 1.0], [1.0, 1.0])["median"] == 2.5


def test_masks_that_disagree_are_refused():
    ours = np.zeros((20, 10), np.uint8)
    theirs = ours.copy()
    theirs[0, :3] = 1
    assert timing.check_masks("a scan", ours, theirs, most=0.015) == 0.015
    with pytest.raises(SystemExit) as error:
        timing.check_masks("a scan", ours, theirs, most=0.01)
    said = "Not timed: the masks of a scan differ in 3 of 200 pixels (1.50%), more than 1.00%."
    assert str(error.value) == said
    with pytest.raises(SystemExit) as error:
        timing.check_masks("a scan", ours, theirs[1:], most=0.01)
    assert str(error.value) == "Not timed: the masks of a scan have the shapes (20, 10) and (19, 10)."


def test_sides_of_another_size_are_refused():
    timing.check_equal("the numbers of parameters", ours=5, torch=5)
    with pytest.raises(SystemExit) as error:
        timing.check_equal("the numbers of parameters", ours=5, torch=6)
    assert str(error.value) == "Not timed: the numbers of parameters differ: ours 5, torch 6."


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="/proc/PID/smaps_rollup is of Linux")
def test_memory_is_that_of_a_command_and_what_it_starts():
    # Each of the two fills 100 MB; the file that both map does not count. They hold it together, however busy the
    # machine is.
    fill, hold = "filled = bytearray(100 * 2**20)", "import time; time.sleep(1)"
    child = f"[sys.executable, '-c', {f'{fill}; print(flush=True); input()'!r}], stdin=-1, stdout=-1"
    both = f"import subprocess, sys; {fill}; child = subprocess.Popen({child}); child.stdout.readline(); {hold}; "
    both += "child.communicate(bytes([10]))"
    fill += f"; {hold}"
    alone, together = (memory.run([sys.executable, "-c", code]) for code in (fill, both))
    assert 100 <= alone["peak_anonymous_bytes"] / MEGABYTE < 150
    assert 200 <= together["peak_anonymous_bytes"] / MEGABYTE < 280
    assert 1 <= alone["seconds"] < 20


def test_a_command_that_fails_says_what_it_said():
    with pytest.raises(SystemExit) as error:
        memory.run([sys.executable, "-c", "raise SystemExit('no such scan')"])
    assert str(error.value).endswith("failed (1):\nno such scan\n")


def test_memory_of_a_process_that_is_gone_is_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert memory.anonymous_bytes(child.pid) == 0


def test_a_worker_answers_prints_and_fails(tmp_path):
    script = tmp_path / "side.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import workers\n"
        "class Side:\n"
        "    def halve(self, number):\n"
        "        print('not an answer')\n"
        "        return number / (number > 0) / 2\n"
        "workers.serve(Side())\n"
    )
    with Worker(sys.executable, script) as worker:
        assert worker.ask("halve", number=3) == 1.5
        with pytest.raises(SystemExit) as error:
            worker.ask("halve", number=0)
        assert str(error.value) == f"{script}: halve failed: ZeroDivisionError: division by zero"
        # It goes on.
        assert worker.ask("halve", number=4) == 2.0
    assert worker.process.returncode == 0


def test_a_worker_that_ends_is_named(tmp_path):
    script = tmp_path / "side.py"
    script.write_text("")
    with Worker(sys.executable, script) as worker:
        worker.process.wait()
        with pytest.raises(SystemExit) as error:
            worker.ask("halve", number=3)
    assert str(error.value) == f"{script}: halve failed: it ended"


def test_a_scan_is_put_together_from_those_that_the_run_has_not_seen(sources, tmp_path):
    assert [pair.split for pair in sources] == ["test", "test"]
    paths = inputs.compose(sources, tmp_path / "train", "a", (700, 300))
    (pair,) = inputs.find_sources(tmp_path)
    assert [pair.scan, pair.mask] == paths
    whole, parts = open_pair(pair), [open_pair(each) for each in sources]
    assert (whole[0].width, whole[0].height) == (700, 300)
    for kind in (0, 1):
        first, second = (each[kind].read(Window(0, 0, 256, 320)) for each in parts)
        rows = [np.hstack([first, second, first]), np.hstack([second, first, second])[:44]]
        np.testing.assert_array_equal(whole[kind].read(Window(0, 0, 300, 700)), np.vstack(rows)[:, :700])
    assert (tmp_path / "train" / "taxa.csv").read_bytes() == (sources[0].scan.parents[1] / "taxa.csv").read_bytes()


def test_the_windows_cut_are_those_with_most_of_the_living(sources, tmp_path):
    paths = inputs.compose(sources, tmp_path, "a", (320, 256))
    images, masks = inputs.cut(paths, side=64, count=25)
    assert images.shape == masks.shape == (25, 64, 64)
    living = masks.sum(axis=(1, 2), dtype=int)
    assert list(living[:20]) == sorted(living[:20], reverse=True)
    assert living[:20].sum() == (cv2.imread(str(paths[1]), cv2.IMREAD_UNCHANGED) >= 8).sum()
    # From the start again where they are too few.
    np.testing.assert_array_equal(images[20:], images[:5])


def test_the_plain_script_writes_the_patches_that_we_would(sources, tmp_path):
    import plain_records
    import tensorflow as tf

    from plankton_keras.data.codec import decode

    scan, mask = inputs.compose(sources, tmp_path, "a", (1100, 700))
    plain_records.main(str(scan), str(mask), str(tmp_path / "a.tfrecord"))
    patches = [decode(record.numpy()) for record in tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord"))]
    assert [patch.window for patch in patches] == [window for row in windows_of(700, 1100, 512) for window in row]
    pixels, ids = cv2.imread(str(scan), cv2.IMREAD_GRAYSCALE), cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    for patch in patches:
        np.testing.assert_array_equal(patch.image, pixels[patch.window.slices])
        np.testing.assert_array_equal(patch.mask, ids[patch.window.slices] >= 8)


def test_the_command_line_is_read_before_anything_heavy_is_loaded():
    code = "import bench; bench.parse([]); print(sorted({'tensorflow', 'keras', 'numpy', 'cv2'} & set(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.stdout, said.stderr) == ("[]\n", "")


def test_what_is_not_said_is_the_demo():
    options = bench.parse([])
    assert (options.run, options.scans) == (Path("plankton-demo/run"), Path("plankton-demo/scans"))
    assert options.only == list(comparisons.ALL) == list(bench.NAMES)
    assert bench.parse(["--size", "22807x14529"]).size == (22807, 14529)


def test_words_that_mean_nothing_are_refused(capsys):
    for words, said in ((["--only", "gpu"], "invalid choice: 'gpu'"), (["--size", "big"], "invalid size_of value")):
        with pytest.raises(SystemExit, match="2"):
            bench.parse(words)
        assert said in capsys.readouterr().err


def test_peers_that_are_not_there_are_named():
    with pytest.raises(SystemExit) as error:
        bench.main(["--peers", "nowhere/python"])
    assert str(error.value) == "nowhere/python does not exist: run make bench, which sets it up, or give --peers."


def test_figures_are_worded():
    numbers = {"median": 12.3456, "least": 1.0, "most": 20.0}
    figures = {"unit": "Mpx/s", "sides": {"a": numbers}, "ratios": {"a / b": numbers}, "peak_bytes": {"a": 2_500_000}}
    assert [" ".join(line.split()) for line in bench.lines_of("predict", figures)] == [
        "predict",
        "a 12.35 (1 to 20) Mpx/s",
        "a / b 12.35 (1 to 20)",
        "peak bytes: a 2 MB",
    ]
    assert list(bench.lines_of("predict", {"left_out": "no"})) == ["predict", "  left out: no"]


def test_the_input_pipeline_is_measured_by_the_network_that_it_feeds():
    def of(**medians):
        return {"sides": {name: {"median": median} for name, median in medians.items()}}

    results = {"train": of(plankton_keras=10.0), "pipeline": of(plankton_keras=500.0, strong=300.0)}
    assert bench.model_rates(results) == {"plankton_keras": 50.0, "strong": 30.0}
    assert bench.model_rates({**results, "train": {"left_out": "no torch"}}) == {}


def test_a_comparison_that_is_left_out_does_not_stop_the_others(monkeypatch, capsys):
    def refused(_):
        raise SystemExit("Not timed: no.")

    figures = {"unit": "s", "sides": {}, "ratios": {}}
    monkeypatch.setattr(comparisons, "ALL", {"bare": refused, "records": lambda _: figures})

    class Side:
        def __enter__(self):
            return types.SimpleNamespace(ask=lambda _: {"python": "3"})

        def __exit__(self, *_):
            pass

    report = bench.compare(argparse.Namespace(our_side=Side), ["bare", "records"])
    assert report["comparisons"] == {"bare": {"left_out": "Not timed: no."}, "records": figures}
    assert capsys.readouterr().out == "bare\n  left out: Not timed: no.\nrecords\n"
    json.dumps(report)


def test_a_cruise_takes_as_long_as_the_machine_with_most_scans():
    assert [growth.cruise(60, scans=500, workers=count) for count in (1, 10, 100)] == [30000, 3000, 300]
    assert growth.cruise(60, scans=101, workers=100) == 120
    rows = [{"command": "predict", "megapixels": 12.0, "seconds": 36.0}]
    (one, *_) = growth.cruises(rows, (4000, 3000))
    assert one == {"command": "predict", "workers": 1, "scans": 500, "hours": 5.0}


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="the peers are not installed: make bench does it")
def test_torch_computes_what_keras_computes(tmp_path):
    import keras
    import keras_side

    model = keras_side.build(TrainConfig(width=4, depth=3), "float32")
    keras_side.shake(model)
    arrays = keras_side.weights_of(model)
    np.savez(
        tmp_path / "w.npz", **{f"{name}/{index}": each for name in arrays for index, each in enumerate(arrays[name])}
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64), np.uint8)
    np.save(tmp_path / "images.npy", images)
    with Worker(PEERS, BENCHMARKS / "peers_side.py", {"OMP_NUM_THREADS": "1"}) as theirs:
        count = theirs.ask("load", width=4, depth=3, weights=tmp_path / "w.npz", temperature=2.0)
        theirs.ask("windows", images=tmp_path / "images.npy", out=tmp_path / "found.npy")
    assert count == keras_side.parameter_count(model)
    ours = keras.ops.softmax(model(images[..., None].astype(np.float32), training=False) / 2.0)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), keras.ops.convert_to_numpy(ours), atol=1e-4)
