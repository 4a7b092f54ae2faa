"""How time and memory grow with the size of a scan, the number of scans and of workers; `bench.py --growth` runs it."""

import math

import memory
from inputs import compose

SIZES = ((4096, 3072), (8192, 6144), (22807, 14529), (45000, 33334))
COUNTS, WORKERS = (1, 4, 16), (1, 2)
SMALL = {"sizes": ((512, 384), (1024, 768)), "counts": (1, 2), "workers": (1, 2)}
USUAL = {"sizes": SIZES, "counts": COUNTS, "workers": WORKERS}
# A scan of real size, and a cruise of them.
CRUISE = 500


def measure(bench, small=False):
    """Measures make-tfrecords and predict as whole commands, each once.

    Args:
        bench: A `comparisons.Bench`.
        small: Whether to take small sizes, to see that it runs.

    Returns:
        A dictionary of rows: `by_size`, `by_number`, and `cruise`, the hours for many scans of the largest size but
        one.
    """
    plan = SMALL if small else USUAL
    rows = {"by_size": [], "by_number": []}
    for size in plan["sizes"]:
        folder = bench.work / f"size{size[0]}"
        compose(bench.sources, folder / "train", "scan", size)
        for command in ("make-tfrecords", "predict"):
            rows["by_size"].append(_row(bench, command, folder, size, 1, 1))
    for count in plan["counts"]:
        folder = bench.work / f"number{count}"
        for index in range(count):
            compose(bench.sources, folder / "train", f"s{index:02d}", plan["sizes"][0])
        for command in ("make-tfrecords", "predict"):
            for workers in plan["workers"]:
                rows["by_number"].append(_row(bench, command, folder, plan["sizes"][0], count, workers))
    return {**rows, "cruise": cruises(rows["by_size"], plan["sizes"][-2])}


def _row(bench, command, folder, size, scans, workers):
    """Measures a command once and says so."""
    place = (bench.run, folder / "train") if command == "predict" else (folder,)
    words = bench.plankton(command, *place, "--workers", workers, "--out", bench.work / "grown")
    row = {
        "command": command,
        "megapixels": size[0] * size[1] / 1e6,
        "scans": scans,
        "workers": workers,
        **memory.run(words),
    }
    print(
        f"{command:<16}{scans:>3} x {row['megapixels']:>7.1f} Mpx, {workers} workers: {row['seconds']:>7.1f} s, "
        f"{row['peak_anonymous_bytes'] / 1e6:>6.0f} MB",
        flush=True,
    )
    return row


def cruises(rows, size):
    """Reckons a cruise of scans of one size from the seconds that one such scan took.

    Args:
        rows: Rows of `measure` by size.
        size: `(width, height)` of the scans.
    """
    megapixels = size[0] * size[1] / 1e6
    seconds = {row["command"]: row["seconds"] for row in rows if row["megapixels"] == megapixels}
    return [
        {"command": command, "workers": workers, "scans": CRUISE, "hours": cruise(each, CRUISE, workers) / 3600}
        for command, each in seconds.items()
        for workers in (1, 10, 100)
    ]


def cruise(seconds, scans, workers):
    """Gives the time that machines like the measured one take for scans, each as long as the measured one.

    The start of the command is in every scan's time, so that this is an upper bound where it is paid once.

    Args:
        seconds: Seconds of a scan.
        scans: Number of scans.
        workers: Machines that share them.

    Returns:
        Seconds.

    Example:

    >>> cruise(60, scans=500, workers=100), cruise(60, scans=101, workers=100)
    (300, 120)
    """
    return seconds * math.ceil(scans / workers)
