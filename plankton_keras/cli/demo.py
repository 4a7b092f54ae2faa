"""`plankton demo`: the whole chain on synthetic scans, command by command."""

import shlex
from pathlib import Path

import click

from plankton_keras.cli import options, output

SCANS = {"train": 4, "val": 1, "test": 1, "size": (2048, 1536), "seed": 7}


@click.command()
@click.argument("folder", type=options.FOLDER)
@options.flags("quiet")
def demo(folder, flags):
    """Draw synthetic scans, train a model on them and find the plankton, in a few minutes.

    Each command is printed before it runs; a rerun goes on where the last one stopped.

    \b
    Example:
        plankton demo plankton-demo
    """
    output.prepare(flags.quiet)
    from plankton_keras.files import read_json
    from plankton_keras.synthetic import write_scans

    scans = folder / "scans"
    output.say(f"Drawing synthetic scans into {scans}", flags.quiet)
    paths = write_scans(scans, **SCANS)
    _write_samples(scans / "samples.csv", paths)
    for command, proof in commands(folder):
        output.say(f"\n$ {shlex.join(['plankton', *command])}", flags.quiet)
        if proof and proof.is_file() and command[0] != "predict":
            output.say("  done already", flags.quiet)
            continue
        # A step that was cut is completed where it can be, and done again where it cannot.
        cut = "--out" in command and Path(command[command.index("--out") + 1]).exists()
        words = [*command, *([output.AGAIN[command[0]]] if cut and command[0] in output.AGAIN else [])]
        words += ["--quiet"] if flags.quiet else []
        click.get_current_context().parent.command.main(args=words, standalone_mode=False)
    scores = read_json(folder / "evaluation" / "metrics.json", f"delete {folder} and run the demo again.")
    plain = scores["baselines"]["threshold"]["pixel"]["f1"]
    overlay = next((folder / "predictions").glob("*_overlay.jpg"))
    click.echo(
        f"\nF1 of living pixels on the test scan: {scores['pixel']['f1']:.3f} (a plain threshold has {plain:.3f})\n"
        f"Read the report: {folder / 'evaluation' / 'report.html'}\n"
        f"Look at the outlines: {overlay}\n"
        f"Read what lives there: {folder / 'measures'} (made-up volumes of water)\n"
        f"Look at the training: tensorboard --logdir {folder / 'run' / 'logs'}\n"
        "With scans of your own: plankton make-tfrecords SCANS --out tfrecords/NAME"
    )


def _write_samples(path, scans):
    """Writes what would be known of the water: each scan is a quarter of what a net filtered from 10 cubic metres."""
    from plankton_keras.files import whole_file
    from plankton_keras.pairs import stem_of

    rows = [f"{stem_of(scan)},{stem_of(scan)},4,10,0,50" for scan in scans]
    with whole_file(path) as partial:
        partial.write_text("\n".join(["sample,scan,sub_part,volume_m3,depth_min_m,depth_max_m", *rows, ""]))


def commands(folder):
    """Lists the commands of the demo, each with the file that proves it done; validate writes none.

    Args:
        folder: The demo's folder, a `pathlib.Path`.

    Returns:
        A list of `(words, proof)`.

    Example:

    >>> [words[0] for words, _ in commands(Path("demo"))]
    ['validate', 'make-tfrecords', 'train', 'evaluate', 'predict', 'measure', 'export']
    """
    scans, records, run = (str(folder / name) for name in ("scans", "records", "run"))
    evaluation, predictions, exported = (str(folder / name) for name in ("evaluation", "predictions", "export"))
    measures, samples = str(folder / "measures"), str(folder / "scans" / "samples.csv")
    return [
        (["validate", scans], None),
        (["make-tfrecords", scans, "--out", records, "--patch-size", "512"], folder / "records" / "manifest.json"),
        (["train", records, "--out", run, "--preset", "quick"], folder / "run" / "metrics.json"),
        (["evaluate", run, scans, "--split", "test", "--out", evaluation], folder / "evaluation" / "metrics.json"),
        (
            ["predict", run, str(folder / "scans" / "test"), "--out", predictions],
            folder / "predictions" / "prediction.json",
        ),
        (
            ["measure", predictions, "--out", measures, "--metadata", samples, "--dpi", "2400"],
            folder / "measures" / "measure.json",
        ),
        (["export", run, "--out", exported], folder / "export" / "export.json"),
    ]
