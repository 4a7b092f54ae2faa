"""`plankton submit`: a prediction folder to the CSV of the ZooScan segmentation challenge."""

import click

from plankton_keras.cli import options, output


@click.command()
@click.argument("predictions", type=options.FOLDER)
@options.out_option
@click.option(
    "--padding",
    type=click.Choice(["always", "needed"]),
    default="always",
    show_default=True,
    help="Zeros after a row whose width divides by 6: always, as the course's own code has them, or only where needed.",
)
@options.flags("overwrite", "json", "quiet")
def submit(predictions, out, padding, flags):
    """Write the CSV that the ZooScan segmentation challenge on Kaggle takes.

    PREDICTIONS is a folder that plankton predict wrote. Each row of each mask becomes a line; every class but the first
    counts as living.

    \b
    Example:
        plankton submit predictions/test --out submission.csv
    """
    from plankton_keras.challenge import predicted_masks, write_csv
    from plankton_keras.errors import ArtefactError

    masks, (_, *living) = predicted_masks(predictions)
    if out.is_dir() or (out.exists() and not flags.overwrite):
        raise ArtefactError(
            f"{out} cannot be written.", "a new file FILE.csv.", "choose another --out, or --overwrite."
        )
    scans = write_csv(out, masks, padding, output.Progress("submit", flags.quiet, unit=("scans", 1)))
    lines = [
        f"{scan['scan']}: {scan['height_px']} rows of {scan['width_px']} pixels, "
        f"{output.percent(scan['living_share'])} living"
        for scan in scans
    ]
    result = {"out": str(out), "padding": padding, "living": living, "scans": scans}
    output.finish(result, [*lines, f"{out}: counted as living: {', '.join(living)}"], flags.json)
