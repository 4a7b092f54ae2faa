"""Checks of what plankton_keras wrote: records, runs, exports, predictions; whole, of this version, in agreement.

TensorFlow and Keras are loaded for records and exports only.
"""

import zipfile
from pathlib import Path

import numpy as np

from plankton_keras import schema
from plankton_keras.errors import ArtefactError
from plankton_keras.files import sha256
from plankton_keras.findings import ERROR, WARNING, Finding, found_by
from plankton_keras.journal import read_journal
from plankton_keras.leaks import check_records
from plankton_keras.measuring import read_objects
from plankton_keras.runs import RETRAIN, Run
from plankton_keras.scans import BAND, open_mask
from plankton_keras.tiles import Window

AGAIN = "run plankton predict again."
MARKERS = {"records": schema.MANIFEST, "run": "config.json", "predictions": "prediction.json"}


def kind_of(path):
    """Tells what a folder is.

    Args:
        path: Any path.

    Returns:
        `records`, `run`, `predictions` or `export`; None if it is none of them.
    """
    path = Path(path)
    marked = [kind for kind, marker in MARKERS.items() if (path / marker).is_file()]
    exported = any(path.glob("saved_model.pb")) or any(path.glob("*/saved_model.pb"))
    return next(iter(marked), "export" if exported else None)


def check_artefact(path):
    """Checks a records, run, export or prediction folder.

    Args:
        path: The folder.

    Returns:
        A list of `findings.Finding`.

    Raises:
        KeyError: If it is none of them; `kind_of` says what it is.
    """
    checks = {"records": _records, "run": _run, "predictions": _predictions, "export": _export}
    return checks[kind_of(path)](Path(path))


def _records(folder):
    """Checks version, shards by digest, and that no scan stands in two splits."""
    from plankton_keras.data.records import check_shards, read_manifest

    manifest, findings = found_by("manifest", read_manifest, folder)
    if findings:
        return findings
    findings = found_by("splits", check_records, manifest, folder)[1]
    for splits, kind in ((manifest.splits, manifest.kind), (manifest.candidates, schema.VIGNETTES)):
        for split in splits:
            if manifest.count(split, kind):
                findings += found_by("shards", check_shards, folder, manifest, split, kind)[1]
    if "val" not in manifest.splits:
        fix = "give make-tfrecords two scans or more, or a val/ folder."
        findings.append(Finding("splits", WARNING, f"{folder} has no split val.", "one, for train to choose by.", fix))
    return findings


def _run(folder):
    """Checks that a training ended, and that its files can be read."""
    run, findings = found_by("run", Run(folder).open)
    if findings:
        return findings
    readers = [run.read_config, run.read_provenance, *([] if run.classifies_vignettes() else [run.read_thresholds])]
    for reader in readers:
        findings += found_by("run", reader)[1]
    judged = run.thresholds.is_file() and not findings and run.read_thresholds().get("objects")
    for path in (run.model, *([run.judge] if judged else [])):
        findings += found_by("model", _whole_model, path)[1]
    return findings


def _whole_model(path):
    """Checks the sums of a Keras model, which is a zip file."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        damaged = str(error)
    if damaged:
        raise ArtefactError(f"{path} is damaged: {damaged}.", "a whole Keras model.", RETRAIN)


def _export(path):
    """Checks that the newest version has its files, of a format that can be read."""
    from plankton_keras.export import REEXPORT, newest_version, read_metadata

    version = newest_version(path) or _newest_model(path)
    findings = found_by("export", read_metadata, version)[1]
    for name in ("saved_model.pb", "variables/variables.index"):
        path = version / name
        if not path.is_file() or not path.stat().st_size:
            words = f"{path} is missing or empty.", "a whole SavedModel.", f"export again: {REEXPORT}."
            findings.append(Finding("export", ERROR, *words))
    return findings


def _newest_model(path):
    """Finds the folder of the newest model of an export that has no metadata.json."""
    from plankton_keras.export import is_version

    folders = [file.parent for pattern in ("saved_model.pb", "*/saved_model.pb") for file in path.glob(pattern)]
    return max(folders, key=lambda folder: (folder == path, is_version(folder) and int(folder.name)))


def _predictions(folder):
    """Checks that every scan has its files, and that mask, table and scan agree."""
    content, findings = found_by("predictions", read_journal, folder, AGAIN, ("status", "scans"), ("scan", "path"))
    if findings:
        return findings
    if content["status"] != "done":
        what = f"The predictions in {folder} are {content['status']}."
        findings.append(Finding("predictions", WARNING, what, "done.", AGAIN))
    for entry in content["scans"]:
        findings += _predicted(folder, entry)
    return findings


def _predicted(folder, entry):
    """Checks the files of one scan."""
    stem, scan = entry["scan"], Path(entry["path"])
    lost = [name for name in entry.get("files", ()) if not (folder / name).is_file()]
    if lost:
        return [
            Finding("files", ERROR, f"{folder / name} does not exist.", f"all files of {stem}.", AGAIN) for name in lost
        ]
    rows, findings = found_by("files", read_objects, folder, stem)
    area, unreadable = found_by("files", _area, folder / f"{stem}_mask.png")
    findings += unreadable
    if not findings and sum(row["area_px"] for row in rows) != area:
        what = f"The objects of {stem} have {sum(row['area_px'] for row in rows)} pixels, but its mask has {area}."
        findings.append(Finding("files", ERROR, what, "mask and table of one prediction.", AGAIN))
    if not scan.is_file():
        words = f"{scan} is not there any more.", "the scan, to be measured.", "give measure --scans."
        findings.append(Finding("scans", WARNING, *words))
    elif entry.get("sha256") not in (None, sha256(scan)):
        words = f"{scan} has changed since it was predicted.", "the same bytes.", AGAIN
        findings.append(Finding("scans", ERROR, *words))
    return findings


def _area(path):
    """Counts the pixels of a mask that are not class 0."""
    with open_mask(path) as mask:
        bands = [(top, min(BAND, mask.height - top)) for top in range(0, mask.height, BAND)]
        return sum(int(np.count_nonzero(mask.read(Window(top, 0, rows, mask.width)))) for top, rows in bands)
