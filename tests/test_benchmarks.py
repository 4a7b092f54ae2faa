"""The benchmark counts and times rightly, runs without TensorFlow, and times nothing that does not agree."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plankton_keras.config import TrainConfig

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu  # noqa: E402
import keras_side  # noqa: E402


def needs(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def python(code, **environment):
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(BENCHMARKS)!r}]\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    return said.returncode, said.stdout, said.stderr


def test_the_operations_of_a_tiny_unet_are_those_counted_by_hand():
    model = keras_side.build(TrainConfig(width=4, depth=2), "float32")
    at_32 = 9 * 1 * 4 + 9 * 4 * 4 + 9 * (4 + 4) * 4 + 9 * 4 * 8
    at_16 = 9 * 4 * 8 + 9 * 8 * 8 + 8 * 4
    assert keras_side.forward_flops(model, 64) == 2 * (at_32 * 32**2 + at_16 * 16**2)
    assert keras_side.forward_flops(model, 128) == 4 * keras_side.forward_flops(model, 64)


def test_figures_follow_from_the_median_step():
    row = gpu.figures([0.5, 0.2, 0.4], batch=2, window=1000, flops=10, matrix_rate=200.0)
    assert row["patches_per_second"] == pytest.approx(5.0)
    assert row["mpx_per_second"] == pytest.approx(5.0)
    assert row["share_of_matrix_rate"] == pytest.approx(0.25)
    assert row["seconds"] == {"median": 0.4, "least": 0.2, "most": 0.5}


def test_jobs_take_turns_and_every_timing_ends_with_a_wait():
    calls = []
    jobs = {name: (lambda name=name: calls.append(name), lambda name=name: calls.append(f"{name}!")) for name in "ab"}
    seconds = gpu.seconds_each(jobs, steps=2, repeats=2)
    there, back = ["a", "a", "a!", "b", "b", "b!"], ["b", "b", "b!", "a", "a", "a!"]
    assert calls == [*back, *there, *back]
    assert {name: len(each) for name, each in seconds.items()} == {"a": 2, "b": 2}


def test_what_is_not_said_depends_on_the_device():
    options = gpu.with_defaults(gpu.parse(["--window", "256"]), "gpu")
    assert (options.batch, options.window, options.torch_compile) == (32, 256, "default")
    options = gpu.with_defaults(gpu.parse([]), "cpu")
    assert (options.batch, options.window, options.torch_compile) == (2, 128, "none")


def test_random_patches_are_whole_gray_levels_of_two_classes():
    images, masks = gpu.random_batch(2, 64)
    assert images.shape == masks.shape == (2, 64, 64, 1)
    assert (images.dtype, masks.dtype) == (np.float32, np.uint8)
    assert (images == np.round(images)).all()
    assert (images.min(), images.max(), set(np.unique(masks))) == (0, 255, {0, 1})


def test_patches_of_a_file_are_cut_and_repeated(tmp_path):
    images = np.arange(2 * 70 * 80, dtype=np.uint32).reshape(2, 70, 80, 1).astype(np.uint8)
    np.savez(tmp_path / "patches.npz", images=images, masks=images[..., 0] > 200)
    batch = gpu.batch_of(tmp_path / "patches.npz", 3, 64)
    np.testing.assert_array_equal(batch[0], images[[0, 1, 0], :64, :64])
    np.testing.assert_array_equal(batch[1], images[[0, 1, 0], :64, :64] > 200)


@pytest.mark.parametrize(("side", "highest"), [(63, 1), (64, 2)])
def test_patches_that_do_not_fit_are_refused(tmp_path, side, highest):
    images = np.zeros((1, side, side, 1), np.uint8)
    np.savez(tmp_path / "patches.npz", images=images, masks=images + highest)
    with pytest.raises(SystemExit, match="smaller than 64 pixels, or the masks hold more"):
        gpu.batch_of(tmp_path / "patches.npz", 1, 64)


def test_the_command_line_is_read_before_anything_heavy_is_loaded():
    code = "import gpu; gpu.parse([]); print(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)))"
    assert python(code) == (0, "[]\n", "")


def test_neither_the_benchmark_nor_what_it_uses_of_the_package_asks_for_tensorflow():
    # Keras may load it as its backend; what counts is who asks.
    code = """
import builtins
real, asked = builtins.__import__, set()
def watched(name, globals=None, *rest, **named):
    if name.split(".")[0] in ("tensorflow", "keras_cv"):
        asked.add((globals or {}).get("__name__", "").split(".")[0])
    return real(name, globals, *rest, **named)
builtins.__import__ = watched
import gpu, keras_side
from plankton_keras.config import TrainConfig
from plankton_keras.training import compile_model
model = keras_side.build(TrainConfig(width=4, depth=2), "mixed_bfloat16")
compile_model(model, TrainConfig())
keras_side.forward_flops(model, 64)
print(asked & {"gpu", "keras_side", "plankton_keras", "__main__"})
"""
    assert python(code)[:2] == (0, "set()\n")


# Hides TensorFlow from whatever asks, as on a machine without it.
FORBIDDEN = """
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] in ("tensorflow", "keras_cv") else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Hiding, sys.meta_path)
import gpu
"""


@pytest.mark.slow
@needs("jax")
def test_our_side_trains_and_infers_where_tensorflow_is_forbidden():
    code = """
import keras_side, numpy as np
from plankton_keras.config import TrainConfig
config = TrainConfig(width=4, depth=2)
side = keras_side.KerasSide(keras_side.build(config, "mixed_bfloat16"), config, gpu.random_batch(2, 64), scores=True)
for _ in range(2):
    side.train()
    side.infer()
side.wait()
print(side.prediction.results[0].shape, bool(np.isfinite(side.training.results[0]["loss"])))
"""
    code, said, error = python(FORBIDDEN + code, KERAS_BACKEND="jax")
    assert (code, said) == (0, "(2, 64, 64, 2) True\n"), error


TINY = ["--width", "4", "--depth", "3", "--window", "64", "--steps", "1", "--repeats", "2", "--matrix", "64"]
# Threads that wait for one another are slow on a busy machine.
ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


@pytest.mark.slow
@needs("jax", "torch")
@pytest.mark.parametrize("more", [[], ["--without-scores"]])
def test_the_whole_benchmark_runs_where_tensorflow_is_forbidden(tmp_path, more):
    words = [*TINY, *more, "--json", str(tmp_path / "gpu.json")]
    code, said, error = python(f"{FORBIDDEN}gpu.main({words!r})", **ALONE)
    assert code == 0, error
    assert "train keras (jax)" in said
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert set(report["results"]) == {
        f"{job} {side}" for job in ("train", "infer") for side in ("keras (jax)", "torch")
    }
    assert all(row["patches_per_second"] > 0 for row in report["results"].values())
    flops = [report["results"][f"{job} torch"]["model_flops_per_patch"] for job in ("train", "infer")]
    assert flops[0] == 3 * flops[1]
    assert set(report["peak_bytes"].values()) == {None}
    assert report["agreement"]["largest_difference"]["logits"] < 1e-5


@pytest.mark.slow
@needs("jax", "torch")
@pytest.mark.parametrize(
    ("change", "reason"),
    [("SHARES = (0.93,)", "the two networks differ by"), ("NUM_CLASSES = 3", "Keras has 6532 parameters and torch 6")],
)
def test_networks_that_do_not_agree_are_not_timed(change, reason):
    code, said, error = python(f"{FORBIDDEN}import torch_side\ntorch_side.{change}\ngpu.main({TINY!r})", **ALONE)
    assert (code, said) == (1, "")
    assert f"Not timed: {reason}" in error
