"""`plankton info`: what a path is, how it was made, its numbers, the next command."""

import click

from plankton_keras.cli import options, output


@click.command()
@click.argument("paths", type=options.FOLDER, nargs=-1, required=True, metavar="PATH...")
@options.flags("json")
def info(paths, flags):
    """Say what a scan or a folder is: of records, a run, an export, an evaluation, predictions or measures.

    Several evaluations, such as those of the folds of a cross-validation, are summarised: mean and spread.

    \b
    Example:
        plankton info runs/unet
    """
    from plankton_keras.describe import describe, summarize

    result = describe(paths[0]) if len(paths) == 1 else summarize(paths)
    lines = [f"{name.replace('_', ' ')}: {_worded(value)}" for name, value in result.items()]
    output.finish(result, lines, flags.json)


def _worded(value):
    """Words a mean and its spread; leaves anything else as it is."""
    if isinstance(value, dict) and "sd" in value:
        return f"{value['mean']:.4f} +- {value['sd']:.4f} (sd), {value['min']:.4f} to {value['max']:.4f}"
    return value
