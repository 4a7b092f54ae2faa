"""`plankton validate`: everything that is wrong with scans, or with what plankton wrote, at once."""

import click

from plankton_keras.cli import options, output
from plankton_keras.errors import SettingError


@click.command()
@click.argument("path", type=options.FOLDER)
@options.masks_option
@options.flags("json", "quiet")
def validate(path, masks, flags):
    """Check scans, records, a run, an export or predictions.

    PATH is a folder of scans, with or without masks, or what a command wrote. Every problem is listed; errors, which
    other commands would refuse, end with exit code 3, or 4 where PATH was written by plankton. Scans are read whole.

    \b
    Example:
        plankton validate scans
    """
    from plankton_keras.artefact_checks import check_artefact, kind_of
    from plankton_keras.findings import ERROR, summary, worded
    from plankton_keras.scan_checks import check_scans

    kind = kind_of(path)
    if kind and masks:
        raise SettingError(
            f"--masks is {str(masks)!r}, but {path} is no folder of scans: {kind}.",
            "a folder of scans.",
            "leave --masks out.",
        )
    if kind:
        output.prepare(flags.quiet)
        findings, code = check_artefact(path), 4
    else:
        output.listen(flags.quiet)
        progress = output.Progress("validate", flags.quiet, unit=("scans", 1))
        kind, findings, code = "scans", check_scans(path, masks, progress), 3
    failed = any(finding.severity == ERROR for finding in findings)
    result = {"path": str(path), "kind": kind, "ok": not failed, "findings": [each.to_json() for each in findings]}
    output.finish(result, [*worded(findings), f"{path}, {kind}: {summary(findings)}"], flags.json)
    if failed:
        click.get_current_context().exit(code)
