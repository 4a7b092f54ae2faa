"""`plankton info`: what a path is, how it was made, its numbers, the next command."""

from pathlib import Path

import click

from plankton_keras.cli import options, output


@click.command()
@click.argument("path", type=options.FOLDER)
@options.flags("json")
def info(path, flags):
    """Say what a scan, records, run, export or prediction folder is.

    \b
    Example:
        plankton info runs/unet
    """
    from plankton_keras.describe import describe

    result = describe(Path(path))
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.items()]
    output.finish(result, lines, flags.json)
