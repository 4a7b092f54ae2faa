"""Corrected objects as files: a package for EcoTaxa, a table, and a pair of scan and mask to train on."""

import csv
import io
import shutil
import zipfile
from dataclasses import replace

from plankton_keras.ecotaxa.package import file_name, write_packages
from plankton_keras.files import scratch, whole_file
from plankton_keras.images import CLASS_PNG, pixel_mm
from plankton_keras.measuring import MeasuredObject
from plankton_keras.packing import fitting, package_object, parents_of, process_of
from plankton_keras.prediction import write_picture
from plankton_keras.serve.claims import suffix_of
from plankton_keras.serve.uploads import MAX_LABEL
from plankton_keras.serve.working import MEASURES
from plankton_keras.tidy import guarded, write_csv

# The files of the last export, and those of the one before until they are in place.
EXPORTED, BEFORE = "exported", "exported.before"
# What each file is, by its end; the first that fits.
WHAT = {
    "_training.zip": "scan and corrected mask, to unpack for plankton make-tfrecords",
    "_corrected_objects.csv": "corrected objects and their measures",
    "prediction.json": "what made the prediction",
    "_mask.png": "class of each pixel",
    "_overlay.jpg": "scan with outlines",
    "_objects.csv": "objects and their boxes",
    "_probability.tif": "probability of each pixel",
    "objects.csv": "objects and their measures",
    "objects.parquet": "objects and their measures",
    ".html": "report to read",
    "measure.json": "what was measured",
}


def files_of(task):
    """Lists the files of a job that is done.

    Args:
        task: The `working.Task`.

    Returns:
        A dictionary from name to path; only regular files that lie in the folders themselves.
    """
    kinds = ("mask.png", "overlay.jpg", "objects.csv", "probability.tif")
    # What was predicted anew since is of other objects than those that the job shows.
    predicted = [task.prediction / f"{task.stem}_{kind}" for kind in kinds] if task.is_as_predicted() else []
    if task.source is None:
        predicted.insert(0, task.prediction / "prediction.json")
    found = {path.name: path for path in predicted if _is_own(path, task.prediction)}
    found |= _files_in(task.folder / MEASURES)
    return found | (_files_in(task.folder / EXPORTED) or _files_in(task.folder / BEFORE))


def _files_in(folder):
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return {}
    return {path.name: path for path in paths if _is_own(path, folder) and not path.name.startswith(".")}


def _is_own(path, folder):
    return path.is_file() and not path.is_symlink() and path.resolve().parent == folder.resolve()


def what_of(name):
    """Says what a file is.

    Example:

    >>> what_of("ecotaxa_rg_corrected_3.zip"), what_of("rg_mask.png")
    ('package for EcoTaxa, corrected', 'class of each pixel')
    """
    if name.startswith("ecotaxa_"):
        return "package for EcoTaxa" + (", corrected" if "_corrected_" in name else "")
    return next((what for end, what in WHAT.items() if name.endswith(end)), "result")


def export(result):
    """Writes the corrected objects of a scan; what was exported before is replaced.

    What a person touched or confirmed has the status `validated`, all else `predicted`.

    Args:
        result: The `results.Result`.

    Returns:
        `(names, too_large)`: the names of the files, and those of objects that no package has, since EcoTaxa takes no
        vignettes of their size.

    Raises:
        InputError: If a value does not fit EcoTaxa.
    """
    task, (revision, shapes) = result.task, result.log.current()
    out = task.folder / f"{EXPORTED}.partial"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    ids, parents = parents_of(task.stem, None, process_of(result.content, result.dpi))
    too_large = []
    packed = fitting((_packed(result, shape, ids) for shape in shapes.values()), too_large)
    # Names of packages end after 100 letters: the revision must stand before, or EcoTaxa would know the tables already.
    write_packages(out, f"{file_name(task.stem)[:MAX_LABEL]}_corrected_{revision}", packed, parents)
    if shapes:
        write_csv(out / f"{task.stem}_corrected_objects.csv", _rows(task.stem, shapes))
    _write_training(out / f"{task.stem}_training.zip", result, shapes)
    _put(out, task.folder / EXPORTED, task.folder / BEFORE)
    return sorted(path.name for path in (task.folder / EXPORTED).iterdir()), too_large


def _put(new, place, before):
    """Puts a folder in the place of another, whose files are there, under this or the other name, until they are."""
    if place.is_dir():
        shutil.rmtree(before, ignore_errors=True)
        place.replace(before)
    new.replace(place)
    shutil.rmtree(before, ignore_errors=True)


def _packed(result, shape, ids):
    gray = result.ground().whitened(shape.window)
    known = result.task.stem, shape.label, shape.taxon, shape.score, shape.cut, shape.multiple
    each = MeasuredObject(*known, gray, shape.mask, gray, shape.measures)
    packed = package_object(each, ids, None, pixel_mm(result.dpi))
    return replace(packed, status="validated") if shape.corrected else packed


def _rows(stem, shapes):
    rows = [
        {"scan": stem, "label": shape.label, "taxon": shape.taxon, "score": shape.score}
        | {"cut_by_edge": shape.cut, "multiple": shape.multiple, "corrected": shape.corrected, **shape.measures}
        for shape in shapes.values()
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _write_training(path, result, shapes):
    """Writes the pair that make-tfrecords reads, with its taxa.csv; the scan is as it was sent."""
    living, stem, scan = result.living(shapes), result.task.stem, result.ground().scan
    ids = {name: index for index, name in enumerate(living)}
    mask = scratch(scan.height, scan.width * (1 if len(ids) <= 256 else 2))
    mask = mask if len(ids) <= 256 else mask.view("uint16")
    for shape in shapes.values():
        mask[shape.window.slices][shape.mask] = ids[shape.taxon]
    table = io.StringIO()
    rows = [(index, guarded(name), int(living[name])) for name, index in ids.items()]
    csv.writer(table, lineterminator="\n").writerows([("id", "name", "living"), *rows])
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        archive.write(result.task.scan, f"{stem}_scan{suffix_of(result.task.scan)}")
        with whole_file(path.with_name("mask.png")) as picture:
            write_picture(picture, mask, CLASS_PNG)
            archive.write(picture, f"{stem}_mask.png")
        archive.writestr("taxa.csv", table.getvalue())
    path.with_name("mask.png").unlink()
