"""The comparisons of `bench.py`: each readies both sides, checks that they do the same, and times them by turns.

Each is a function of a `Bench` to a dictionary of figures: `sides`, the spread of each side in `unit`; `ratios`, by
what is divided by what; and whatever else was found.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import memory
import numpy as np
from inputs import compose, cut
from timing import by_turns, check_equal, check_masks, ratio, spread
from workers import Worker

from plankton_keras.scans import open_scan

HERE = Path(__file__).resolve().parent
# Both sides compute in float32: probabilities of the same windows and losses of the same batch agree to this.
TOLERANCE = 1e-3
# Share of the pixels of the same windows that may fall on different sides of the threshold.
SAME_WINDOWS = 1e-4
# Share of the pixels of a scan in which MONAI's overlapped windows of 256 pixels and our large ones may disagree.
WHOLE_SCAN = 0.02
TEXTBOOK_SCAN = 2048, 1536
BATCH, WINDOW, PATCH = 4, 384, 512
# The operations of the input pipeline that both sides have, as an `augment.Strength`.
OPERATIONS = {"flips": True, "degrees": 180, "zoom": 0.3, "brightness": 20, "contrast": 0.25}
FULL = ", full resolution"
OURS, ALONE, MONAI, TEXTBOOK = "plankton_keras", "network alone", "MONAI", "MONAI" + FULL
# torch in the memory layout that is fastest, and in the one that it takes by itself.
TORCH, FIRST = "torch", "torch, channels first"


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        scan: `(width, height)` of a scan that a slow peer can do.
        big: `(width, height)` of a scan of real size.
        steps: Steps of training timed in a row.
        batches: Batches of the input pipeline timed in a row.
        skipped: Batches drawn before.
        scans: Scans that workers share.
        shared: `(width, height)` of each of them: of real size, beside which the start of a process is little.
    """

    scan: tuple = (4096, 3072)
    big: tuple = (22807, 14529)
    steps: int = 10
    batches: int = 400
    skipped: int = 200
    scans: int = 4
    shared: tuple = (22807, 14529)


SMALL = Sizes(scan=(1024, 768), big=(2048, 1536), steps=2, batches=4, skipped=2, scans=2, shared=(1024, 768))


@dataclass(frozen=True)
class Bench:
    """What the comparisons work with.

    Attributes:
        ours: Python of our environment.
        peers: Python of the peers' environment.
        run: The run whose network and judge are measured.
        sources: List of `pairs.ScanPair` that scans are put together from.
        work: Folder for what is written on the way.
        rounds: Turns of each side.
        sizes: The `Sizes`.
        big: Paths of scan and mask of real size, or None to put one together.
    """

    ours: Path
    peers: Path
    run: Path
    sources: list
    work: Path
    rounds: int
    sizes: Sizes
    big: tuple | None = None

    def our_side(self):
        """Starts our side."""
        return Worker(self.ours, HERE / "ours_side.py", {"PYTHONPATH": str(HERE.parent)})

    def their_side(self):
        """Starts the peers' side."""
        return Worker(self.peers, HERE / "peers_side.py")

    def plankton(self, *words):
        """Gives a command of ours as words."""
        return [self.ours, "-m", "plankton_keras", *words, "--quiet", "--overwrite"]

    def scan(self):
        """Gives the paths of scan and mask of the usual size."""
        return compose(self.sources, self.work / "scan" / "train", "scan", self.sizes.scan)

    def big_scan(self):
        """Gives the paths of scan and mask of real size."""
        return self.big or compose(self.sources, self.work / "big" / "train", "big", self.sizes.big)

    def big_size(self):
        """Gives `(width, height)` of the scan of real size."""
        with open_scan(self.big_scan()[0]) as scan:
            return scan.width, scan.height


def _figures(unit, rates, *pairs):
    """Puts rates, lists by side, and the ratios of pairs of sides together."""
    ratios = {f"{above} / {below}": ratio(rates[above], rates[below]) for above, below in pairs}
    return {"unit": unit, "sides": {name: spread(each) for name, each in rates.items()}, "ratios": ratios}


def _rates(seconds, amount):
    """Turns lists of seconds by side into lists of amounts a second."""
    return {name: [amount / each for each in numbers] for name, numbers in seconds.items()}


def _workers(count):
    return f"{count} worker{'' if count == 1 else 's'}"


def _megapixels(size):
    return size[0] * size[1] / 1e6


def load_both(bench, ours, theirs):
    """Gives both sides one network and checks that it is one.

    Returns:
        What `ours_side.Ours.load` says, with the largest difference of the probabilities on the same windows.
    """
    weights, images = bench.work / "weights.npz", bench.work / "windows.npy"
    known = ours.ask("load", run=bench.run, weights=weights)
    same = {name: known[name] for name in ("width", "depth", "temperature")}
    count = theirs.ask("load", weights=weights, **same)
    check_equal("the numbers of parameters", **{OURS: known["parameters"], "torch": count})
    np.save(images, cut(bench.scan(), 256, 4)[0])
    found = []
    for name, side in (("ours", ours), ("theirs", theirs)):
        side.ask("windows", images=images, out=bench.work / f"{name}.npy")
        found.append(np.load(bench.work / f"{name}.npy")[..., 1])
    difference = float(np.abs(found[0] - found[1]).max())
    # Worded so that a NaN does not pass.
    if not difference <= TOLERANCE:
        raise SystemExit(f"Not timed: on the same windows probabilities differ by {difference}, above {TOLERANCE}.")
    share = check_masks("the same windows", *(each >= known["threshold"] for each in found), most=SAME_WINDOWS)
    return {**known, "same_windows": {"largest_difference": difference, "pixels_that_differ": share}}


def predict(bench):
    """Whole-scan prediction beside MONAI's sliding window, the network and the scan being the same."""
    scan, mask = bench.scan()
    found, out, answer = bench.work / "monai.png", bench.work / "predictions", bench.work / "monai_probability.npy"
    own = bench.work / "our_probability.npy"
    with bench.our_side() as ours, bench.their_side() as theirs:
        known = load_both(bench, ours, theirs)
        # The first call of each side warms it up, and gives the answers that are scored.
        ours.ask("predict", scan=scan, out=out, judge=True)
        ours.ask("probability", scan=scan, out=own)
        theirs.ask("predict", scan=scan, out=found, threshold=known["threshold"], probability=answer)
        masks = {ALONE: own, MONAI: answer}
        for name, path in masks.items():
            np.save(path.with_name(f"{path.stem}_mask.npy"), np.load(path) >= round(known["threshold"] * 255))
            masks[name] = path.with_name(f"{path.stem}_mask.npy")
        share = check_masks("the whole scan", *(np.load(path) for path in masks.values()), most=WHOLE_SCAN)
        masks = {OURS: out / f"{Path(scan).name.split('_')[0]}_mask.png", **masks}
        f1 = {name: ours.ask("score", scan=scan, mask=mask, found=path) for name, path in masks.items()}
        jobs = {
            OURS: lambda: ours.ask("predict", scan=scan, out=out, judge=True),
            ALONE: lambda: ours.ask("predict", scan=scan, out=out, judge=False),
            MONAI: lambda: theirs.ask("predict", scan=scan, out=found, threshold=known["threshold"]),
        }
        rates = _rates(by_turns(jobs, bench.rounds), _megapixels(bench.sizes.scan))
    rates[TEXTBOOK], count = _textbook(bench, known)
    return {
        **_figures("Mpx/s", rates, (OURS, MONAI), (ALONE, MONAI), (OURS, TEXTBOOK)),
        "network": {name: known[name] for name in ("width", "depth", "parameters", "threshold", "has_judge")},
        "parameters_at_full_resolution": count,
        "same_windows": known["same_windows"],
        "scan": bench.sizes.scan,
        "pixel_f1": f1,
        "whole_scan_pixels_that_differ": share,
    }


def _textbook(bench, known):
    """Measures MONAI with the network of textbooks, which is no twin of ours: on a small scan, since it takes long.

    Returns:
        Its Mpx/s, one a round, and the number of its parameters.
    """
    size = tuple(min(sides) for sides in zip(TEXTBOOK_SCAN, bench.sizes.scan, strict=True))
    scan, _ = compose(bench.sources, bench.work / "textbook", "textbook", size)
    with bench.their_side() as theirs:
        count = theirs.ask("forget", width=known["width"], depth=known["depth"])
        asked = {"scan": scan, "out": bench.work / "textbook.png", "threshold": 0.5}
        seconds = by_turns({TEXTBOOK: lambda: theirs.ask("predict", **asked)}, bench.rounds)
    return _rates(seconds, _megapixels(size))[TEXTBOOK], count


def bare(bench):
    """Prediction of a scan of real size beside the bare network on the windows that cover it, and its memory."""
    scan, _ = bench.big_scan()
    out, bare_network = bench.work / "predictions", "bare network"
    with bench.our_side() as ours:
        ours.ask("load", run=bench.run, weights=bench.work / "weights.npz")
        pixels = ours.ask("hold", scan=scan)
        jobs = {
            OURS: lambda: ours.ask("predict", scan=scan, out=out, judge=True),
            ALONE: lambda: ours.ask("predict", scan=scan, out=out, judge=False),
            bare_network: lambda: ours.ask("bare"),
        }
        by_turns({"warm": lambda: ours.ask("predict", scan=bench.scan()[0], out=out, judge=True)}, 1)
        seconds = by_turns(jobs, bench.rounds)
    command = memory.run(bench.plankton("predict", bench.run, scan, "--out", bench.work / "predicted"))
    return {
        **_figures("s", seconds, (OURS, bare_network), (ALONE, bare_network)),
        "scan": bench.big_size(),
        "megapixels_of_windows": pixels / 1e6,
        "whole_command": command,
    }


def train(bench):
    """A step of training beside torch's: of our network, and of the one of textbooks."""
    batch, rates = bench.work / "batch.npz", {}
    images, masks = cut(bench.scan(), WINDOW, BATCH)
    np.savez(batch, images=images, masks=masks)
    with bench.our_side() as ours, bench.their_side() as theirs:
        known = load_both(bench, ours, theirs)
        losses = _steps(bench, ours, theirs, {"batch": batch, "settings": known["settings"]}, "", rates)
        if not abs(losses[0] - losses[1]) <= TOLERANCE:
            raise SystemExit(f"Not timed: the losses of one batch differ: {losses}.")
    with bench.our_side() as ours, bench.their_side() as theirs:
        counts = ours.ask("forget", run=bench.run), theirs.ask("forget", width=known["width"], depth=known["depth"])
        check_equal("the numbers of parameters", ours=counts[0], theirs=counts[1])
        _steps(bench, ours, theirs, {"batch": batch, "settings": known["settings"]}, FULL, rates)
    pairs = [(OURS + size, theirs + size) for size in ("", FULL) for theirs in (TORCH, FIRST)]
    return {
        **_figures("patches/s", rates, *pairs),
        "parameters": known["parameters"],
        "parameters_at_full_resolution": counts[0],
        "losses": losses,
        "batch": [BATCH, WINDOW, WINDOW],
    }


def _steps(bench, ours, theirs, what, suffix, rates):
    """Times steps of both sides and adds their rates; gives the losses before."""
    losses = ours.ask("train_on", batch=what["batch"]), theirs.ask("train_on", **what)
    steps = bench.sizes.steps
    jobs = {
        OURS: lambda: ours.ask("train", steps=steps),
        TORCH: lambda: theirs.ask("train", steps=steps, channels="last"),
        FIRST: lambda: theirs.ask("train", steps=steps, channels="first"),
    }
    by_turns(jobs, 1)
    found = _rates(by_turns(jobs, bench.rounds), steps * BATCH)
    rates.update({name + suffix: numbers for name, numbers in found.items()})
    return losses


def pipeline(bench):
    """The input pipeline beside an albumentations Compose in a torch DataLoader, and our strongest augmentation."""
    bench.scan()
    records, folder = bench.work / "records", bench.work / "patches"
    folder.mkdir(exist_ok=True)
    memory.run(bench.plankton("make-tfrecords", bench.work / "scan", "--out", records, "--patch-size", PATCH))
    sizes, drawn = bench.sizes, {OURS: bench.work / "drawn.npz", "albumentations": bench.work / "theirs.npz"}
    both = {"batch_size": BATCH, "window": WINDOW}
    with bench.our_side() as ours, bench.their_side() as theirs:
        patches = ours.ask("unpack", records=records, folder=folder)
        for name, settings in (("operations", OPERATIONS), ("strong", None)):
            ours.ask("stream", name=name, records=records, settings=settings, **both)

        def of_ours(name, **more):
            return ours.ask("draw", name=name, skipped=sizes.skipped, batches=sizes.batches, **more)

        def of_theirs(processes, **more):
            asked = {"folder": folder, "settings": OPERATIONS, "shape": list(both.values()), "processes": processes}
            return theirs.ask("draw", count=[sizes.skipped, sizes.batches], **asked, **more)

        of_ours("operations", out=drawn[OURS])
        of_theirs(0, out=drawn["albumentations"])
        check_equal("batches", **{name: _looks(path) for name, path in drawn.items()})
        jobs = {OURS: lambda: of_ours("operations"), "strong": lambda: of_ours("strong")}
        loaders = {f"albumentations, {_workers(count)}": count for count in (0, 1, 2)}
        jobs |= {name: lambda count=count: of_theirs(count) for name, count in loaders.items()}
        rates = _rates(by_turns(jobs, bench.rounds), sizes.batches * BATCH)
    best = max(loaders, key=lambda name: spread(rates[name])["median"])
    return {
        **_figures("patches/s", rates, (OURS, best)),
        "operations": OPERATIONS,
        "patches": patches,
        "sizes": {"patch": PATCH, **both},
    }


def _looks(path):
    """Says what kind of batch a file holds: shapes, types, and the values of the masks."""
    with np.load(path) as arrays:
        kinds = {name: f"{arrays[name].dtype} {arrays[name].shape}" for name in ("images", "masks")}
        return f"{kinds}, masks of {np.unique(arrays['masks']).tolist()}"


def records(bench):
    """make-tfrecords on a scan of real size beside a plain script that writes the same patches."""
    scan, mask = bench.big_scan()
    plain, out, peaks = bench.work / "plain.tfrecord", bench.work / "big_records", {}
    commands = {
        # Every window is a patch, as in the plain script.
        OURS: bench.plankton("make-tfrecords", Path(scan).parents[1], "--out", out, "--ground-keep", 1),
        "plain script": [bench.ours, HERE / "plain_records.py", scan, mask, plain],
    }

    def job(name):
        def run():
            figures = memory.run(commands[name], {"TF_CPP_MIN_LOG_LEVEL": "3"})
            peaks.setdefault(name, []).append(figures["peak_anonymous_bytes"])
            return figures["seconds"]

        return run

    seconds = by_turns({name: job(name) for name in commands}, bench.rounds)
    with bench.our_side() as ours:
        patches = ours.ask("same_records", plain=str(plain), records=out)
    return {
        **_figures("s", seconds, ("plain script", OURS)),
        "scan": bench.big_size(),
        "patches": patches,
        "peak_anonymous_bytes": {name: max(each) for name, each in peaks.items()},
    }


def workers(bench):
    """Two workers with one thread each beside one such worker, for make-tfrecords and predict."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        return {"left_out": "one core only"}
    folder = bench.work / "scans"
    for index in range(bench.sizes.scans):
        turned = bench.sources[index % len(bench.sources) :] + bench.sources[: index % len(bench.sources)]
        compose(turned, folder / "train", f"s{index:02d}", bench.sizes.shared)
    words = {
        "make-tfrecords": ("make-tfrecords", folder),
        "predict": ("predict", bench.run, folder / "train"),
    }

    def job(name, count):
        where = ",".join(map(str, cores[:count]))
        command = bench.plankton(*words[name], "--workers", count, "--out", bench.work / f"{name}{count}")
        return lambda: memory.run(["taskset", "-c", where, *command], sampled=False)["seconds"]

    jobs = {f"{name}, {_workers(count)}": job(name, count) for name in words for count in (1, 2)}
    seconds = by_turns(jobs, bench.rounds)
    pairs = [tuple(f"{name}, {_workers(count)}" for count in (1, 2)) for name in words]
    return {**_figures("s", seconds, *pairs), "scans": bench.sizes.scans, "scan": bench.sizes.shared}


ALL = {each.__name__: each for each in (predict, bare, train, pipeline, records, workers)}
