"""A prediction folder to tables, packages for EcoTaxa, pages and plots: what the objects are, and what follows."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plankton_keras.config import parse_gray_range
from plankton_keras.ecology.abundance import MODELS, Objects, abundances
from plankton_keras.ecology.spectra import spectra
from plankton_keras.ecotaxa.package import write_packages
from plankton_keras.errors import ArtefactError, InputError, and_others, counted
from plankton_keras.files import sha256
from plankton_keras.images import pixel_mm
from plankton_keras.journal import read_journal
from plankton_keras.measuring import AS_FOUND, Grouping, measure_scan
from plankton_keras.packing import fitting, package_object, parents_of, process_of
from plankton_keras.pairs import find_scans
from plankton_keras.reporting import ABUNDANCE, OBJECTS, SLOPES, SPECTRA, MeasuredScan, write_reports
from plankton_keras.sample_tables import read_samples
from plankton_keras.sample_vignettes import keep
from plankton_keras.samples import listed
from plankton_keras.scans import open_scan, stem_of
from plankton_keras.tidy import write_csv, write_parquet
from plankton_keras.zooprocess_metadata import read_metadata

# Names of tables in messages, and of their files.
FILES = {OBJECTS: "objects", ABUNDANCE: "abundance", SPECTRA: "spectra", SLOPES: "slopes"}
NO_SAMPLES = "No --metadata: no abundance, biovolume or spectrum. plankton measure --template prints a samples.csv."
BY_THE_CHALLENGE = (
    "Without a taxa.csv ids below 8 are not living, as in the ZooScan challenge; animals that are numbered one by one "
    "need one id for all, or a taxa.csv."
)
TOO_LOW = "its abundance, biovolume and spectrum are of its other scans alone, and too low"


@dataclass(frozen=True)
class Context:
    """What is known of scans beside their predictions.

    Attributes:
        paths: Path of each scan by stem.
        samples: List of `sample_tables.Sample`; empty where nothing is known.
        dpi: Resolution of scans that do not say theirs, or None.
        legacy: As for `measures.zooprocess.measure`.
        naming: Function of a list of vignettes to `naming.Named`, or None: the classes of the segmentation stand.
        confusion: What `naming.known_confusion` gave, to adjust abundance by, or None.
        grouping: The `measuring.Grouping`.
        lost: Stems of scans that have no prediction, by sample; of samples alone of which other scans have one.
        notes: What the user should know, in words.
    """

    paths: dict
    samples: list
    dpi: float | None = None
    legacy: bool = False
    naming: Callable | None = None
    confusion: np.ndarray | None = None
    grouping: Grouping = AS_FOUND
    lost: dict = field(default_factory=dict)
    notes: tuple = ()

    @classmethod
    def of(cls, content, metadata=None, scans=None, **settings):
        """Gathers it.

        Args:
            content: What `read_predictions` gave.
            metadata: Path of samples.csv, or folder of ZooProcess' metadata; or None.
            scans: Folder of the scans, if they moved; or None.
            settings: As in the class: dpi, legacy, naming, confusion, grouping.

        Raises:
            InputError: If metadata or scans are bad, or do not fit.
        """
        stems = [entry["scan"] for entry in content["scans"]]
        moved = {stem_of(path): path for path in find_scans([scans])} if scans else {}
        paths = {entry["scan"]: moved.get(entry["scan"], Path(entry["path"])) for entry in content["scans"]}
        failed = ", ".join(entry["scan"] for entry in content.get("failed", ()))
        notes = [f"Not predicted, and so not measured: {failed}."] if failed else []
        if ids := ", ".join(map(str, content.get("passed_over", ()))):
            notes.append(f"Not measured: the ids {ids} of the masks. {BY_THE_CHALLENGE}")
        if metadata is None:
            return cls(paths, [], **settings, notes=(*notes, NO_SAMPLES))
        read = read_metadata if Path(metadata).is_dir() else read_samples
        samples, warnings = read(metadata, stems)
        known = [dataclasses.replace(each, fractions=_among(each.fractions, stems)) for each in samples]
        lost = {
            whole.sample: tuple(part.scan for part in whole.fractions if part not in each.fractions)
            for whole, each in zip(samples, known, strict=True)
            if 0 < len(each.fractions) < len(whole.fractions)
        }
        warnings += [f"The sample {name} is without {listed(scans)}: {TOO_LOW}." for name, scans in lost.items()]
        return cls(paths, [each for each in known if each.fractions], **settings, lost=lost, notes=(*notes, *warnings))

    def sample_of(self, stem):
        """Gives the sample of a scan, or None."""
        return next((each for each in self.samples if _among(each.fractions, [stem])), None)


def _among(fractions, stems):
    return tuple(part for part in fractions if part.scan in stems)


def read_predictions(folder):
    """Reads prediction.json of a whole prediction folder.

    Returns:
        Its dictionary, with `living`: whether each class but the first is, by name.

    Raises:
        ArtefactError: If it is none, is not finished, or holds no scan.
    """
    needed = ("status", "scans", "classes", "model", "model_sha256", "settings")
    content = read_journal(folder, "give a folder that plankton predict wrote.", needed, ("scan", "path"))
    if content["status"] == "running" or not content["scans"]:
        raise ArtefactError(
            f"{folder} {'is not finished' if content['scans'] else 'holds no scan'}.",
            "predictions of one scan or more.",
            f"run plankton predict MODEL SCANS --out {folder} again.",
        )
    # Of what a network finds every class but the first is looked for.
    return {"living": dict.fromkeys(content["classes"][1:], True), **content}


def measure_predictions(folder, content, context, out, progress=None, tell=None):
    """Measures all objects of a prediction folder and writes every table, package, page and plot.

    Args:
        folder: The prediction folder.
        content: What `read_predictions` gave.
        context: A `Context`.
        out: Where to write.
        progress: Called with `(scans done, scans in all, stem)`, or None.
        tell: Called with the number of objects of a scan that are measured, one by one, or None.

    Returns:
        A dictionary of `scans`, `objects` (their number), `packages`, `reports` and `plots` (paths), `tables` (file by
        name) and `notes`.
    """
    measured, taken = [], set()
    for done, stem in enumerate(context.paths):
        measured.append(_measure_scan(folder, stem, content, context, out, taken, tell))
        if progress:
            progress(done + 1, len(context.paths), stem)
    tables, notes = _tables(measured, content, context)
    reports, plots = write_reports(folder, content, measured, tables, out, context.lost)
    return {
        "scans": list(context.paths),
        "objects": len(tables.get(OBJECTS, ())),
        "packages": [str(path) for scan in measured for path in scan.packages],
        "reports": [str(path) for path in reports],
        "plots": [str(path) for path in plots],
        "tables": _write(tables, out),
        "notes": [*context.notes, *notes],
    }


def _tables(measured, content, context):
    """Gives the rows of each table by its name, and what the user should know."""
    rows, notes = [row for scan in measured for row in scan.rows], []
    unsized = sorted({row["scan"] for row in rows if row.get("area_mm2") is None})
    if unsized:
        notes.append(f"No resolution of {', '.join(unsized)}: no millimetres, volumes or spectra. Give --dpi.")
    others = [f"{scan.stem} ({scan.dpi:g} dpi)" for scan in measured if context.dpi not in (None, scan.dpi)]
    if others:
        notes.append(f"--dpi is not applied to files that say their resolution: {', '.join(others)}.")
    large = [name for scan in measured for name in scan.too_large]
    if large:
        notes.append(f"Larger than EcoTaxa takes, and in no package for it: {', '.join(large)}.")
    mixed = [name for scan in measured for name in scan.mixed]
    # A network's classes run into one another; in masks of one's own each taxon is meant.
    if mixed and content["model_sha256"] is None:
        verbs = ("is", "counts") if len(mixed) == 1 else ("are", "count")
        said = (
            f"{counted(len(mixed), 'object')} of the masks {verbs[0]} of several taxa that touch, and {verbs[1]} once"
        )
        names = ", ".join(mixed[:10]) + and_others(len(mixed) - 10)
        which = "" if context.naming else ", as the one of most of its pixels"
        notes.append(f"{said}{which}: {names}. Leave a pixel of ground between them.")
    tables = {OBJECTS: rows} if rows else {}
    adjusting = []
    # Each sample by itself: what one lacks, such as a resolution, takes nothing from the others.
    for sample in (each for each in context.samples if each.volume_m3):
        objects = _objects([(scan.rows, scan.named) for scan in measured if scan.sample is sample], content["living"])
        tables.setdefault(ABUNDANCE, []).extend(abundances(objects, [sample], context.confusion))
        adjusting = _adjusting(context.confusion, objects.names)
        if objects.volumes is not None:
            for name, found in zip((SPECTRA, SLOPES), spectra(objects, [sample]), strict=True):
                tables.setdefault(name, []).extend(found)
    notes += adjusting
    return tables, notes


def _adjusting(confusion, names):
    """Words what abundance was adjusted by."""
    if confusion is None:
        return []
    said = f"Adjusted for confusion as of {confusion.sum()} vignettes of validation, beside the raw numbers."
    unknown = [name for name, row in zip(names, confusion, strict=False) if not row.any()]
    return [said, f"Of {', '.join(unknown)} there was none: taken as never confused."] if unknown else [said]


def _measure_scan(folder, stem, content, context, out, taken, tell):
    """Measures a scan and writes its packages, of names not yet taken; gives what the rest needs of it."""
    sample = context.sample_of(stem)
    _check_scan(content, stem, context.paths[stem])
    with open_scan(context.paths[stem], parse_gray_range(content["settings"]["gray_range"])) as scan:
        dpi = scan.dpi or context.dpi
        side = pixel_mm(dpi)
        objects = []
        for each in measure_scan(folder, scan, side, context.legacy, context.grouping, content["classes"]):
            objects.append(each)
            if tell:
                tell(len(objects))
    named = context.naming([each.alone for each in objects]) if context.naming else None
    if named:
        objects = [named.rename(each, place) for place, each in enumerate(objects)]
    ids, parents = parents_of(stem, sample, process_of(content, dpi, context.grouping))
    too_large = []
    packed = fitting((package_object(each, ids, sample, side) for each in objects), too_large)
    packages = write_packages(out, stem, packed, parents, shorten=("sample_comment",), taken=taken)
    head = {"sample": sample.sample if sample else None}
    rows = [
        {**head, **_row(each), **(named.columns(place) if named else {}), **each.measures}
        for place, each in enumerate(objects)
    ]
    shown = keep(rows, [each.alone for each in objects])
    mixed = tuple(f"{stem}_{each.label}" for each in objects if each.mixed)
    return MeasuredScan(stem, sample, rows, named, packages, shown, context.grouping, dpi, tuple(too_large), mixed)


def _check_scan(content, stem, path):
    """Refuses a scan that has been replaced since it was predicted, by its digest; masks of one's own know none."""
    known = next(entry.get("sha256") for entry in content["scans"] if entry["scan"] == stem)
    if known and Path(path).is_file() and sha256(path) != known:
        raise InputError(
            f"{path} is not the scan that was predicted.",
            f"a file with the digest {known[:12]}....",
            "predict it again, or give the folder of the scans: --scans.",
        )


def _row(each):
    known = {"scan": each.scan, "label": each.label, "taxon": each.taxon, "score": each.score}
    return {**known, "cut_by_edge": each.cut, "multiple": each.multiple}


def _objects(parts, living):
    """Gives rows and what they were named as `ecology.abundance.Objects`.

    Args:
        parts: List of `(rows, named)`, a scan each.
        living: Whether each class of the segmentation but the first is living, by name.
    """
    rows = [row for rows, _ in parts for row in rows]
    columns = [f"biovolume_{model}_mm3" for model in MODELS]
    volumes = None
    if all(row.get("area_mm2") is not None for row in rows):
        # Where all of an object is brighter than the holes' limit, nothing but its outline has a volume.
        volumes = np.array([[row[column] or row[columns[0]] for column in columns] for row in rows])
        volumes = volumes.reshape(-1, len(MODELS))
    names, alive, chances, (_, first) = tuple(living), tuple(living.values()), None, parts[0]
    if first:
        names, alive = first.names, first.living
        chances = np.concatenate([named.chances for _, named in parts])
    taxa = np.array([names.index(row["taxon"]) for row in rows], np.int64)
    return Objects(np.array([row["scan"] for row in rows], str), taxa, names, alive, volumes, chances)


def _write(tables, out):
    """Writes tables as CSV and Parquet; gives the name of each CSV."""
    written = {}
    for name, rows in tables.items():
        if rows:
            keys = dict.fromkeys(key for row in rows for key in row)
            whole = [{key: row.get(key) for key in keys} for row in rows]
            write_csv(out / f"{FILES[name]}.csv", whole)
            write_parquet(out / f"{FILES[name]}.parquet", whole)
            written[name] = f"{FILES[name]}.csv"
    return written
