"""What a path is: a scan, or something that plankton_keras wrote.

Reads only the small files, never a model or a shard.
"""

import statistics
from pathlib import Path

from plankton_keras import export, schema
from plankton_keras.errors import ArtefactError, counted
from plankton_keras.files import read_json
from plankton_keras.image_claims import first_line
from plankton_keras.journal import read_journal
from plankton_keras.runs import Run

REWRITE = "write it again with the command that made it."
EVALUATION, MEASURES = "metrics.json", "measure.json"


def describe(path):
    """Describes a path.

    Args:
        path: A file or folder.

    Returns:
        A dictionary that starts with `kind` and ends with the `next` command.

    Raises:
        InputError: If a file is no image, or the names of scans do not go together.
        ArtefactError: If a folder is nothing that is known.
    """
    path = Path(path)
    if path.is_file():
        return _scan(path)
    kinds = {
        schema.MANIFEST: _records,
        "config.json": _run,
        "prediction.json": _predictions,
        MEASURES: _measures,
        EVALUATION: lambda folder: _evaluations([folder]),
    }
    for marker, kind in kinds.items():
        if (path / marker).is_file():
            return _said_by(path / marker, kind)
    version = export.newest_version(path)
    if version:
        return _said_by(version / export.METADATA, _export)
    return _scans(path)


def _said_by(file, kind):
    """Describes the folder of a file; what the file lacks is an error that names it."""
    try:
        return kind(file.parent)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ArtefactError(
            f"{file} does not say what it should: {type(error).__name__} {first_line(error)}.",
            "what plankton_keras wrote.",
            REWRITE,
        ) from None


def summarize(paths):
    """Describes several evaluations as one, such as those of the folds of a cross-validation.

    Args:
        paths: List of evaluation folders.

    Returns:
        A dictionary that starts with `kind`; of each score the mean, the standard deviation (of a sample), the least
        and the greatest.

    Raises:
        ArtefactError: If one is no evaluation, or some are of scans and others of vignettes.
    """
    paths = [Path(path) for path in paths]
    others = [path for path in paths if describe(path)["kind"] != "evaluation"]
    if others:
        raise ArtefactError(
            f"{others[0]} is no evaluation.", "folders that evaluate wrote, to summarise.", "describe it by itself."
        )
    return _evaluations(paths)


def _evaluations(paths):
    scored = [read_json(path / EVALUATION, REWRITE) for path in paths]
    _check_one_kind(paths, scored)
    columns = [each.get("pixel") or {k: v for k, v in each.items() if isinstance(v, float)} for each in scored]
    common = [name for name in columns[0] if all(name in column for column in columns)]
    if len(paths) == 1:
        scores = {name: columns[0][name] for name in common}
    else:
        scores = {name: _spread([column[name] for column in columns]) for name in common}
    # A run of vignettes finds nothing on scans: it names what is found.
    names = "vignettes" in scored[0]
    return {
        "kind": "evaluation" if len(paths) == 1 else f"{len(paths)} evaluations",
        "path": ", ".join(str(path) for path in paths),
        "model": ", ".join(each["model"] for each in scored),
        **scores,
        "next": "plankton measure PREDICTIONS --classifier RUN --out measures/NAME"
        if names
        else "plankton predict RUN SCANS --out predictions/NAME",
    }


def _check_one_kind(paths, scored):
    """Refuses evaluations of scans beside those of vignettes: figures of one name would be of different things."""
    kinds = ["vignettes" if "vignettes" in each else "pixels of scans" for each in scored]
    others = [(path, kind) for path, kind in zip(paths, kinds, strict=True) if kind != kinds[0]]
    if others:
        path, kind = others[0]
        raise ArtefactError(
            f"{paths[0]} scored {kinds[0]}, but {path} {kind}: their scores have no mean.",
            "evaluations of one kind.",
            "summarise each kind by itself.",
        )


def _spread(values):
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values),
        "min": min(values),
        "max": max(values),
    }


def _scan(path):
    from plankton_keras.images import open_image, pixel_mm

    with open_image(path) as image:
        return {
            "kind": "image",
            "path": str(path),
            "format": image.format,
            "width_px": image.width,
            "height_px": image.height,
            "megapixels": round(image.width * image.height / 1e6, 2),
            "channels": image.channels,
            "dtype": str(image.dtype),
            "dpi": image.dpi,
            "pixel_mm": image.dpi and round(pixel_mm(image.dpi), 7),
            "next": f"plankton predict RUN {path} --out predictions/NAME",
        }


def _scans(path):
    from plankton_keras.pairs import survey

    pairs, problems = survey(path) if path.exists() else ((), ())
    # A folder whose first problem is this is none of scans, most likely.
    unknown = bool(problems) and problems[0].what == f"{path} holds no scan."
    if unknown or not path.exists():
        what = "is nothing that plankton knows" if path.exists() else "does not exist"
        raise ArtefactError(
            f"{path} {what}.",
            "a scan, a folder of scans, records, a run, an export, an evaluation, predictions or measures.",
            "check the path.",
        )
    if problems:
        raise problems[0]
    return {
        "kind": "scans",
        "path": str(path),
        "scans": len(pairs),
        "with_mask": sum(pair.mask is not None for pair in pairs),
        "splits": sorted({pair.split for pair in pairs if pair.split}),
        "next": f"plankton make-tfrecords {path} --out tfrecords/NAME",
    }


def _records(path):
    manifest = schema.Manifest.from_json(read_json(path / schema.MANIFEST, REWRITE), path / schema.MANIFEST)
    return {
        "kind": "records",
        "path": str(path),
        "format_version": manifest.version,
        "patch_size": manifest.patch_size,
        "classes": list(manifest.classes),
        "class_share": manifest.class_share,
        manifest.kind: {split: manifest.count(split) for split in manifest.splits},
        **(
            {
                "candidates": {split: manifest.count(split, schema.VIGNETTES) for split in manifest.candidates},
                "candidate_share": manifest.candidate_share,
            }
            if manifest.candidates
            else {}
        ),
        "scans": {split: [s.stem for s in manifest.sources if s.split == split] for split in manifest.splits},
        "megabytes": round(sum(shard.bytes for shards in manifest.splits.values() for shard in shards) / 1e6, 1),
        "settings": manifest.settings,
        "next": f"plankton train {path} --out runs/NAME",
    }


def _run(path):
    run = Run(path)
    config = run.read_config()
    if not run.metrics.is_file():
        return {
            "kind": "run, not finished",
            "path": str(run.folder),
            "settings": config.to_json(),
            "next": f"plankton train RECORDS --out {run.folder} --config {run.config} --resume",
        }
    provenance = run.read_provenance()
    return {
        "kind": "run",
        "path": str(run.folder),
        "model": config.model,
        "classes": provenance["classes"],
        **({} if run.classifies_vignettes() else {"threshold": run.read_thresholds()["foreground"]}),
        "val": read_json(run.metrics, REWRITE)["val"],
        "records": provenance["records"],
        "created": provenance["created"],
        "settings": config.to_json(),
        "next": f"plankton evaluate {run.folder} {provenance['records']} --out evaluations/NAME",
    }


def _export(version):
    metadata = export.read_metadata(version)
    names = ("model", "classes", "threshold", "tile", "context", "dpi", "max_difference", "model_sha256", "created")
    return {
        "kind": "export",
        "path": str(version),
        **{name: metadata[name] for name in names if name in metadata},
        "next": f"plankton predict {version} SCANS --out predictions/NAME",
    }


def _predictions(path):
    content = read_journal(path, REWRITE)
    return {
        "kind": "predictions",
        "path": str(path),
        "status": content["status"],
        "model": content["model"],
        "threshold": content["threshold"],
        "classes": content["classes"],
        "scans": [f"{entry['scan']}: {counted(entry['objects'], 'object')}" for entry in content["scans"]],
        "failed": content["failed"],
        "next": f"look at {path}/*_overlay.jpg",
    }


def _measures(path):
    content = read_json(path / MEASURES, REWRITE)
    return {
        "kind": "measures",
        "path": str(path),
        "scans": content["scans"],
        "objects": content["objects"],
        "tables": list(content["tables"].values()),
        "packages": content["packages"],
        "reports": content["reports"],
        "notes": content["notes"],
        "next": f"look at {path}/report_*.html, then import the packages into EcoTaxa",
    }
