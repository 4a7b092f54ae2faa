"""Draws what `bench.py --growth` measured; matplotlib is among the peers.

.venv-bench/bin/python benchmarks/plot_growth.py growth.json docs/growth.svg
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def main(source, target):
    """Draws seconds and memory against the size of a scan and the number of scans."""
    report = json.loads(Path(source).read_text(encoding="utf-8"))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for column, (group, key) in enumerate((("by_size", "megapixels"), ("by_number", "scans"))):
        rows = report[group]
        label = "megapixels of one scan" if column == 0 else f"scans of {rows[0]['megapixels']:.1f} Mpx"
        for line in sorted({(row["command"], row["workers"]) for row in rows}):
            own = [row for row in rows if (row["command"], row["workers"]) == line]
            name = line[0] if group == "by_size" else f"{line[0]}, {line[1]} worker{'s'[: line[1] - 1]}"
            x = [row[key] for row in own]
            axes[0, column].plot(x, [row["seconds"] for row in own], "o-", label=name)
            axes[1, column].plot(x, [row["peak_anonymous_bytes"] / 1e6 for row in own], "o-", label=name)
        for axis, what in zip(axes[:, column], ("seconds", "peak anonymous memory, MB"), strict=True):
            axis.set(xlabel=label, ylabel=what, xscale="log")
            axis.set_xticks(x, [f"{each:.4g}" for each in x])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        seconds, memory = axes[:, column]
        seconds.set_yscale("log")
        low, high = seconds.get_ylim()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        seconds.set_yticks(ticks, ticks)
        seconds.minorticks_off()
        seconds.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        memory.set_ylim(bottom=0)
    figure.savefig(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
