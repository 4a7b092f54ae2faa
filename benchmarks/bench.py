"""Measures plankton_keras beside what one would use instead, by turns on one machine; `make bench` runs it.

    make bench
    python benchmarks/bench.py --peers .venv-bench/bin/python --run RUN --scans FOLDER --json bench.json
    python benchmarks/bench.py --growth --run RUN --scans FOLDER --json growth.json

Each side is a process of its own that waits while the other computes. What does not do the same work is not timed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The package need not be installed.
sys.path.insert(0, str(ROOT))
NAMES = ("predict", "bare", "train", "pipeline", "records", "workers")
WITHOUT_PEERS = ("bare", "records", "workers")


def parse(words=None):
    """Reads the command line.

    Args:
        words: The words after the name of the script, or None for those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("plankton-demo/run"), help="trained run (default: the demo's)")
    parser.add_argument(
        "--scans",
        type=Path,
        default=Path("plankton-demo/scans"),
        help="folder of scans and masks, of which scans of any size are put together (default: the demo's)",
    )
    parser.add_argument(
        "--big",
        type=Path,
        metavar="FOLDER",
        help="folder of a scan of real size to take instead of one put together; its pair lies in FOLDER/train",
    )
    parser.add_argument("--peers", type=Path, default=Path(".venv-bench/bin/python"), help="Python of the peers")
    parser.add_argument("--only", choices=NAMES, nargs="+", default=list(NAMES), help="comparisons to run")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side, of which the median counts")
    parser.add_argument("--small", action="store_true", help="small scans and few steps, to see that it runs")
    parser.add_argument("--size", metavar="WIDTHxHEIGHT", type=size_of, help="size of the scan that MONAI predicts too")
    parser.add_argument(
        "--growth", action="store_true", help="measure time and memory against the size and the number of scans instead"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where to write on the way; kept, so that scans are put together once (default: a temporary folder)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    return parser.parse_args(words)


def size_of(text):
    """Reads WIDTHxHEIGHT.

    Example:

    >>> size_of("22807x14529")
    (22807, 14529)
    """
    width, _, height = text.partition("x")
    return int(width), int(height)


def machine():
    """Says what the machine is, without its name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        # At the start, and so of others; well above 0 it spoils what follows.
        "load_average": os.getloadavg()[0],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def lines_of(name, figures):
    """Words the figures of a comparison, line by line."""
    yield name
    if "left_out" in figures:
        yield f"  left out: {figures['left_out']}"
        return
    for side, numbers in figures["sides"].items():
        yield f"  {side:<72} {_spread(numbers)} {figures['unit']}"
    for what, numbers in figures["ratios"].items():
        yield f"  {what:<72} {_spread(numbers)}"
    for what, value in figures.items():
        if what not in ("sides", "ratios", "unit"):
            yield f"  {what.replace('_', ' ')}: {_plain(value, 'bytes' in what)}"


def _spread(numbers):
    return f"{numbers['median']:.4g} ({numbers['least']:.4g} to {numbers['most']:.4g})"


def _plain(value, bytes_=False):
    """Words a value: bytes as megabytes, floats rounded."""
    if isinstance(value, dict):
        return ", ".join(
            f"{name.replace('_', ' ')} {_plain(each, bytes_ or 'bytes' in name)}" for name, each in value.items()
        )
    if bytes_:
        return f"{value / 1e6:.0f} MB"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def model_rates(results):
    """Says how many times as fast the input pipeline is as the network that it feeds, if both were measured."""
    sides, trained = (results.get(name, {}).get("sides") for name in ("pipeline", "train"))
    if not (sides and trained):
        return {}
    return {name: sides[name]["median"] / trained["plankton_keras"]["median"] for name in ("plankton_keras", "strong")}


def compare(bench, names):
    """Runs the comparisons, saying each as it is done.

    Returns:
        Figures by name, and the versions of both sides.
    """
    import comparisons

    with bench.our_side() as ours:
        versions = {"ours": ours.ask("versions")}
    if set(names) - set(WITHOUT_PEERS):
        with bench.their_side() as theirs:
            versions["peers"] = theirs.ask("versions")
    results = {}
    for name in names:
        try:
            results[name] = comparisons.ALL[name](bench)
        except SystemExit as error:
            # The others are worth having.
            results[name] = {"left_out": str(error)}
        print("\n".join(lines_of(name, results[name])), flush=True)
    rates = model_rates(results)
    for name, times in rates.items():
        print(f"input pipeline ({name}) / training step: {times:.3g}")
    return {"versions": versions, "comparisons": results, "pipeline_over_model": rates}


def main(words=None):
    """Runs the benchmark."""
    options = parse(words)
    if not options.growth and set(options.only) - set(WITHOUT_PEERS) and not options.peers.exists():
        raise SystemExit(f"{options.peers} does not exist: run make bench, which sets it up, or give --peers.")
    measured = machine()
    print(f"{measured['cpu']}, {measured['cores']} cores, load {measured['load_average']:.2f}", file=sys.stderr)
    import dataclasses

    import comparisons
    import growth
    import inputs

    sizes = comparisons.SMALL if options.small else comparisons.Sizes()
    if options.size:
        sizes = dataclasses.replace(sizes, scan=options.size)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        big = inputs.find_sources(options.big)[0] if options.big else None
        bench = comparisons.Bench(
            ours=Path(sys.executable),
            peers=options.peers.absolute(),
            run=options.run.absolute(),
            sources=inputs.find_sources(options.scans),
            work=work.absolute(),
            rounds=options.rounds,
            sizes=sizes,
            big=(big.scan.absolute(), big.mask.absolute()) if big else None,
        )
        report = growth.measure(bench, options.small) if options.growth else compare(bench, options.only)
    report = {"machine": measured, "rounds": options.rounds, **report}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    if any("left_out" in figures for figures in report.get("comparisons", {}).values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
