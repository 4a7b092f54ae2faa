"""`plankton measure`: predicted scans to measured objects, EcoTaxa packages, tables, and a page of each sample."""

from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.errors import counted


@click.command()
@click.argument("predictions", type=options.FOLDER, required=False)
@click.option("--out", type=options.FOLDER, help="Where to write.")
@click.option("--metadata", type=options.FOLDER, help="samples.csv, or a folder of ZooProcess' *_meta.txt.")
@click.option("--scans", type=options.FOLDER, help="Folder of the scans, if they moved.")
@click.option("--dpi", type=options.DPI, help="Resolution of scans that do not say theirs.")
@click.option("--legacy", is_flag=True, help="Measures as ZooProcess 8 writes them: rounded, with its errors.")
@click.option(
    "--join",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Measure fragments of one class with at most so many pixels of ground between them as one animal.",
)
@click.option("--separate", is_flag=True, help="Cut touching animals apart by their shape, and measure each.")
@click.option("--classifier", type=options.FOLDER, help="Run of vignettes, or its export, that names the objects.")
@click.option(
    "--confidence",
    type=options.Number(0, 1),
    default=0.0,
    show_default=True,
    help="Objects that the classifier is less sure of are unclassified.",
)
@click.option("--adjust", is_flag=True, help="Also adjust abundance for what the classifier confused on validation.")
@click.option("--template", is_flag=True, help="Print a samples.csv to fill in, and do no more.")
@click.option("--lint", type=options.FOLDER, metavar="PACKAGE", help="Check a package for EcoTaxa, and do no more.")
@options.flags("overwrite", "json", "quiet")
def measure(predictions, out, template, lint, flags, **settings):
    """Measure the objects of predicted scans.

    PREDICTIONS is what plankton predict wrote, or a folder of scans with masks of one's own. Each object is measured
    as ZooProcess does and goes into a package for EcoTaxa; with --metadata abundance, biovolume and size spectra
    follow. Each sample gets a page to read.

    \b
    Example:
        plankton measure predictions/new --out measures/new --metadata scans/samples.csv
    """
    if template:
        from plankton_keras.sample_columns import template as text

        click.echo(text(), nl=False)
        return
    if lint:
        _lint(lint, flags.json)
        return
    if not predictions or not out:
        missing = "option '--out'" if predictions else "argument 'PREDICTIONS'"
        raise click.UsageError(f"Missing {missing}.")
    options.keep_apart(
        out, flags.overwrite, [predictions, *(settings[name] for name in ("metadata", "scans", "classifier"))]
    )
    named_by = _named_by(*map(settings.pop, ("classifier", "confidence", "adjust")), flags.quiet)
    from plankton_keras.files import claim_folder
    from plankton_keras.masked_scans import find_masked
    from plankton_keras.measuring import Grouping
    from plankton_keras.tabulating import Context, measure_predictions, read_predictions

    masked = find_masked(predictions)
    content = masked.content if masked else read_predictions(predictions)
    grouping = Grouping(settings.pop("join"), settings.pop("separate"))
    context = Context.of(content, **named_by, grouping=grouping, **settings)
    out = Path(claim_folder(out, flags.overwrite))
    if masked:
        predictions = out / "prediction"
        masked.write(predictions)
    progress = output.Progress("measure", flags.quiet, unit=("scans", 1))
    result = measure_predictions(predictions, content, context, out, progress)
    objects, scans = counted(result["objects"], "object"), counted(len(result["scans"]), "scan")
    lines = [f"{objects} of {scans}"]
    lines += [f"for EcoTaxa: {path}" for path in result["packages"]]
    lines += result["notes"]
    lines += [f"{name}: {out / path}" for name, path in result["tables"].items()]
    lines += [f"plot: {path}" for path in result["plots"] if path.endswith(".png")]
    lines += [f"Report: {path}" for path in result["reports"]]
    output.finish({"out": str(out), **result}, lines, flags.json, out / "measure.json")


def _named_by(path, confidence, adjust, quiet):
    """Loads the classifier that names objects; TensorFlow is only needed with one.

    Returns:
        A dictionary of what `tabulating.Context` wants of it: `naming` and `confusion`.
    """
    if path is None:
        if adjust:
            raise click.UsageError("--adjust needs --classifier: its validation tells which classes are confused.")
        output.listen(quiet)
        return {}
    output.prepare(quiet)
    import functools

    from plankton_keras.inference import load_classifier
    from plankton_keras.naming import known_confusion, name_objects

    classifier = load_classifier(path)
    return {
        "naming": functools.partial(name_objects, classifier, confidence=confidence),
        "confusion": known_confusion(classifier) if adjust else None,
    }


def _lint(path, as_json):
    """Prints the problems of a package; exit code 3 if EcoTaxa would refuse it."""
    from dataclasses import asdict

    from plankton_keras.ecotaxa.lint import lint

    problems = lint(path)
    errors = [problem for problem in problems if problem.severity == "error"]
    lines = [*map(str, problems), f"{counted(len(errors), 'error')}, {counted(len(problems) - len(errors), 'warning')}"]
    output.finish({"problems": [asdict(problem) for problem in problems]}, lines, as_json)
    if errors:
        click.get_current_context().exit(3)
