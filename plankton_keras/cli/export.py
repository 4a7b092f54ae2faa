"""`plankton export`: a run to a SavedModel."""

import click

from plankton_keras.cli import options, output


@click.command()
@click.argument("run", type=options.FOLDER)
@options.out_option
@click.option(
    "--encoder", is_flag=True, help="Write only the encoder, as a file FILE.npz for train --weights FILE.npz."
)
@options.flags("overwrite", "json", "quiet")
def export(run, out, encoder, flags):
    """Export a run as a SavedModel that carries its own preprocessing.

    Writes the next version, --out/1 at first, which TensorFlow Serving, plankton predict and plankton serve take. With
    --overwrite the newest version is replaced.

    \b
    Example:
        plankton export runs/unet --out runs/unet/export
    """
    output.prepare(flags.quiet)
    from plankton_keras.export import export_encoder, export_run
    from plankton_keras.files import claim_folder
    from plankton_keras.runs import Run

    # What is no run is said before a folder is made.
    run = Run(run).open()
    if encoder:
        result = export_encoder(run, out, flags.overwrite)
        lines = [f"{out}: the encoder of {result['model']}, {result['megabytes']} MB, sha256 {result['sha256']}"]
        output.finish(result, [*lines, f"Next: plankton train RECORDS --out runs/NAME --weights {out}"], flags.json)
        return
    result = export_run(run, claim_folder(out, resume=True), flags.overwrite)
    metadata = result.pop("metadata")
    lines = [
        f"{out / str(result['version'])}: {metadata['model']}, classes {', '.join(metadata['classes'])}",
        f"differs from the Keras model by at most {result['max_difference']:.1e}",
        f"Next: plankton predict {out} SCANS --out predictions/NAME",
    ]
    output.finish(result, lines, flags.json, out / "export.json")
