"""Times our U-Net under Keras and JAX beside the same network written in torch, in one process.

    python benchmarks/gpu.py --json gpu.json

Needs Keras, JAX, torch and NumPy, but no TensorFlow. Both sides hold their batch on the device, so that neither input
pipeline nor callbacks are timed: what is left is forward, backward and update, or forward alone.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

# The package need not be installed, whose requirements include TensorFlow.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TOLERANCE = 1e-3
# Wider than the reach of the local ground.
CHECKED = 256
# A step takes milliseconds on a GPU and seconds on a CPU.
DEFAULTS = {
    "gpu": {"batch": 32, "window": 512, "steps": 20, "repeats": 9, "matrix": 8192},
    "cpu": {"batch": 2, "window": 128, "steps": 2, "repeats": 5, "matrix": 1024},
}
HELP = {
    "batch": "patches a batch",
    "window": "side of the patches in pixels, a multiple of 64",
    "steps": "steps timed in a row",
    "repeats": "timings of each, of which the median counts",
    "matrix": "side of the matrices that measure the device",
}


def parse(words=None):
    """Reads the command line.

    Args:
        words: The words after the name of the script, or None for those of the process.

    Returns:
        A namespace; what depends on the device is None where nothing is said.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in HELP.items():
        usual = f"{DEFAULTS['gpu'][name]}, on a CPU {DEFAULTS['cpu'][name]}"
        parser.add_argument(f"--{name}", type=int, help=f"{text} (default: {usual})")
    parser.add_argument("--width", type=int, default=16, help="channels of the first level (default: 16)")
    parser.add_argument("--depth", type=int, default=6, help="levels (default: 6)")
    parser.add_argument("--patches", type=Path, metavar="FILE.npz", help="patches to use instead of random ones")
    parser.add_argument("--without-scores", action="store_true", help="train without counting the scores")
    parser.add_argument("--torch-compile", metavar="MODE", help="mode, or none (default: default, on a CPU none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    return parser.parse_args(words)


def with_defaults(options, kind):
    """Fills in what depends on the kind of device, `gpu` or `cpu`."""
    usual = {**DEFAULTS[kind], "torch_compile": "default" if kind == "gpu" else "none"}
    given = {name: value for name, value in vars(options).items() if value is not None}
    return argparse.Namespace(**{**vars(options), **usual, **given})


def random_batch(batch, window, seed=0):
    """Draws patches of noise, a tenth of whose pixels belong to class 1.

    Args:
        batch: Number of patches.
        window: Their side in pixels.
        seed: Decides the noise.

    Returns:
        `(images, masks)`: float32 `(batch, window, window, 1)`, whole values 0..255, and uint8 class indices.
    """
    generator = np.random.default_rng(seed)
    shape = (batch, window, window, 1)
    images = generator.integers(0, 256, shape, dtype=np.uint8).astype(np.float32)
    return images, (generator.random(shape, dtype=np.float32) < 0.1).astype(np.uint8)


def batch_of(path, batch, window):
    """Takes patches from a file, from the start again where they are too few, cut to their upper left.

    Args:
        path: An npz file with `images`, uint8 `(number, height, width, 1)`, and `masks`, class indices 0 or 1.
        batch: Number of patches.
        window: Their side in pixels.

    Returns:
        `(images, masks)` as of `random_batch`.
    """
    with np.load(path) as arrays:
        images, masks = arrays["images"], arrays["masks"]
    masks = masks.reshape(images.shape)
    if min(images.shape[1:3]) < window or masks.max() > 1:
        raise SystemExit(f"{path}: the patches are smaller than {window} pixels, or the masks hold more than 0 and 1.")
    chosen = np.arange(batch) % len(images), slice(window), slice(window)
    return images[chosen].astype(np.float32), masks[chosen].astype(np.uint8)


def check(model, net):
    """Makes sure that both sides compute the same, before they are timed.

    Args:
        model: Our float32 network.
        net: The network of torch, whose weights are replaced by those of `model`.

    Returns:
        A dictionary of the parameters' number and the largest differences.

    Raises:
        SystemExit: If they do not agree.
    """
    import keras_side
    import torch_side

    counts = keras_side.parameter_count(model), torch_side.parameter_count(net)
    if counts[0] != counts[1]:
        raise SystemExit(f"Not timed: Keras has {counts[0]} parameters and torch {counts[1]}.")
    torch_side.load_weights(net, keras_side.weights_of(model))
    batch = random_batch(2, CHECKED)
    # Without something large and dark the local ground would be the same everywhere.
    batch[0][:, : CHECKED // 2, : CHECKED // 2] *= 0.5
    (ours, our_loss), (theirs, their_loss) = (
        keras_side.logits_and_loss(model, *batch),
        torch_side.logits_and_loss(net, *batch),
    )
    differences = {"logits": float(np.abs(ours - theirs).max()), "loss": abs(our_loss - their_loss)}
    # Worded so that a NaN does not pass.
    if not all(difference <= TOLERANCE for difference in differences.values()):
        raise SystemExit(f"Not timed: the two networks differ by {differences}, which is more than {TOLERANCE}.")
    return {"parameters": counts[0], "largest_difference": differences}


def seconds_each(jobs, steps, repeats):
    """Times jobs by turns, forwards and backwards, so that a drift of the device meets all alike.

    Args:
        jobs: `(start, wait)` by name: what starts a step, and what waits for all that was started.
        steps: Steps in a row in each timing.
        repeats: Timings of each job.

    Returns:
        The seconds of a step by name, a list of one number a repeat.
    """
    seconds = {name: [] for name in jobs}
    for repeat in range(-1, repeats):
        for name, (start, wait) in list(jobs.items())[:: -1 if repeat % 2 else 1]:
            began = time.perf_counter()
            for _ in range(steps):
                start()
            wait()
            # The first round compiles and warms up.
            if repeat >= 0:
                seconds[name].append((time.perf_counter() - began) / steps)
    return seconds


def figures(seconds, batch, window, flops, matrix_rate):
    """Turns timings of a step into what is reported.

    Args:
        seconds: Seconds of a step, one a repeat.
        batch: Patches a step.
        window: Side of a patch in pixels.
        flops: Operations of the model for a patch.
        matrix_rate: Operations a second that the device reached on matrices.

    Returns:
        A dictionary of numbers.
    """
    median = statistics.median(seconds)
    return {
        "seconds": {"median": median, "least": min(seconds), "most": max(seconds)},
        "patches_per_second": batch / median,
        "mpx_per_second": batch * window**2 / median / 1e6,
        "model_flops_per_patch": flops,
        "share_of_matrix_rate": batch * flops / median / matrix_rate,
    }


def measure(options, config):
    """Checks and times both sides.

    Args:
        options: What `with_defaults` gives.
        config: The `config.TrainConfig` of the network.

    Returns:
        A dictionary of all figures.
    """
    import keras_side
    import torch_side

    size = options.batch, options.window
    batch = batch_of(options.patches, *size) if options.patches else random_batch(*size)
    model, net = keras_side.build(config, "float32"), torch_side.UNet(config.width, config.depth)
    keras_side.shake(model)
    agreement = check(model, net)
    mixed = keras_side.build(config, "mixed_bfloat16")
    mixed.set_weights(model.get_weights())
    scores = not options.without_scores
    sides = (
        keras_side.KerasSide(mixed, config, batch, scores),
        torch_side.TorchSide(net, config, batch, scores, options.torch_compile),
    )
    forward = keras_side.forward_flops(model, options.window)
    flops = {"train": 3 * forward, "infer": forward}
    jobs = {f"{job} {side.name}": (getattr(side, job), side.wait) for job in flops for side in sides}
    seconds = seconds_each(jobs, options.steps, options.repeats)
    memory = {side.name: side.peak_bytes() for side in sides}
    rates = matrix_rates(options)
    results = {
        name: figures(each, *size, flops[name.split()[0]], max(rates.values())) for name, each in seconds.items()
    }
    return {"agreement": agreement, "matrix_flops_per_second": rates, "peak_bytes": memory, "results": results}


def matrix_rates(options):
    """Measures how many operations a second the device reaches on matrices in bfloat16, by side."""
    import keras_side
    import torch_side

    jobs = {module.__name__: module.matrix_product(options.matrix) for module in (keras_side, torch_side)}
    seconds = seconds_each(jobs, options.steps, options.repeats)
    return {name.removesuffix("_side"): 2 * options.matrix**3 / statistics.median(seconds[name]) for name in jobs}


def table(report):
    """Words a report of `measure` as lines."""
    head = f"{'':<20}{'ms a step':>10}{'patches/s':>11}{'Mpx/s':>9}{'GFLOP a patch':>15}{'of matrix rate':>16}"
    yield head
    for name, row in report["results"].items():
        numbers = f"{1e3 * row['seconds']['median']:>10.2f}{row['patches_per_second']:>11.2f}"
        numbers += f"{row['mpx_per_second']:>9.2f}{row['model_flops_per_patch'] / 1e9:>15.3f}"
        yield f"{name:<20}{numbers}{row['share_of_matrix_rate']:>16.1%}"
    for name, rate in report["matrix_flops_per_second"].items():
        yield f"matrix rate of {name}: {rate / 1e12:.2f} TFLOP/s"
    for name, peak in report["peak_bytes"].items():
        yield f"peak memory of {name}: {'not counted' if peak is None else f'{peak / 2**30:.2f} GiB'}"


def main(words=None):
    """Runs the benchmark."""
    options = parse(words)
    os.environ["KERAS_BACKEND"] = "jax"
    # JAX would take three quarters of the GPU's memory at once, and torch shall have its part.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import keras_side
    import torch_side

    from plankton_keras import __version__
    from plankton_keras.config import TrainConfig

    (kind, name), theirs = keras_side.device(), torch_side.device()
    if kind != theirs[0]:
        raise SystemExit(f"Not timed: JAX computes on a {kind} and torch on a {theirs[0]}.")
    options = with_defaults(options, kind)
    config = TrainConfig(width=options.width, depth=options.depth, window=options.window, batch_size=options.batch)
    versions = {"plankton_keras": __version__, "python": platform.python_version(), "numpy": np.__version__}
    report = {
        "device": {"kind": kind, "jax": name, "torch": theirs[1]},
        "versions": {**versions, **keras_side.versions(), **torch_side.versions()},
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        **measure(options, config),
    }
    print(f"{theirs[1]}, {options.batch} patches of {options.window} pixels")
    print("\n".join(table(report)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
