"""`plankton predict`: whole scans to masks, object tables and overlays."""

import time
from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.config import PredictConfig, parse_gray_range


@click.command()
@click.argument("paths", type=options.FOLDER, nargs=-1, required=True, metavar="MODEL... SCAN...")
@options.out_option
@options.config_options(PredictConfig)
@options.flags("dry_run", "overwrite", "json", "quiet")
def predict(paths, out, config_file, flags, **settings):
    """Predict whole scans of any size.

    MODEL is a run or an export; several are averaged. Each SCAN is a file or a folder of them. Scans that are done are
    skipped when the command is run again.

    \b
    Example:
        plankton predict runs/unet scans/test --out predictions/test
    """
    config = options.build_config(PredictConfig, settings, config_file)
    output.prepare(flags.quiet)
    from plankton_keras.averaging import over_models, over_turns
    from plankton_keras.files import claim_folder
    from plankton_keras.inference import is_model, load_predictor
    from plankton_keras.pairs import find_scans

    # The first path has to be a model; it says itself what is wrong with it.
    models = [path for index, path in enumerate(paths) if index == 0 or is_model(path)]
    scans = [path for path in paths if path not in models]
    if not scans:
        raise click.UsageError("Missing argument 'SCAN...': give scans, or folders of them.")
    predictor = over_models([load_predictor(model) for model in models])
    predictor = over_turns(predictor) if config.turns else predictor
    config = config.for_classes(len(predictor.classes))
    paths = find_scans(scans)
    if flags.dry_run:
        _say_cost(predictor, paths, config, flags.json)
        return
    # Predict goes on by itself: the journal in the folder says what is done.
    journal = _Journal(claim_folder(out, flags.overwrite, resume=not flags.overwrite), predictor, config)
    failed = []
    for path in paths:
        problem = _predict_one(path, predictor, config, journal, flags.quiet)
        if problem:
            failed.append(problem)
    scans_done = [journal.scans[str(path)] for path in paths if str(path) in journal.scans]
    result = {"out": str(out), "scans": scans_done, "failed": failed}
    lines = [
        f"{entry['scan']}: {entry['objects']} objects, {entry['megapixels']:.1f} Mpx in {entry['seconds']:.1f} s "
        f"({entry['megapixels_per_second']:.1f} Mpx/s), peak memory {entry['peak_memory_mb']} MB"
        for entry in scans_done
    ]
    lines += [f"failed: {entry['scan']}: {entry['error']}" for entry in failed]
    journal.write(failed)
    output.finish(result, [*lines, f"Masks, object tables and overlays: {out}"], flags.json)
    if failed:
        click.get_current_context().exit(3)


class _Journal:
    """prediction.json: what made the folder and which scans are done."""

    def __init__(self, out, predictor, config):
        from plankton_keras.errors import ArtefactError
        from plankton_keras.files import read_json
        from plankton_keras.runs import versions

        threshold = predictor.threshold if config.threshold is None else config.threshold
        self.path, self.scans, self.threshold = Path(out) / "prediction.json", {}, threshold
        self.head = {
            "model": predictor.source,
            "model_sha256": predictor.digest,
            "threshold": threshold,
            "classes": list(predictor.classes),
            "settings": config.to_json(),
        }
        if self.path.is_file():
            known = read_json(self.path, "predict into a new folder.")
            if {name: known.get(name) for name in self.head} != self.head:
                raise ArtefactError(
                    f"{out} holds predictions of another model or with other settings.",
                    f"those of {known.get('model')}.",
                    "choose another --out, or --overwrite.",
                )
            self.scans = {entry["path"]: entry for entry in known["scans"]}
        self.head["versions"] = versions()

    def is_done(self, path, digest):
        """Tells whether the scan's files stand there and were made of these bytes."""
        entry = self.scans.get(str(path))
        files = [self.path.parent / name for name in entry["files"]] if entry else []
        return bool(entry) and entry["sha256"] == digest and all(file.is_file() for file in files)

    def write(self, failed=()):
        """Writes the file."""
        from plankton_keras.files import write_json

        status = "failed" if failed else "done"
        write_json(
            self.path, {**self.head, "status": status, "scans": list(self.scans.values()), "failed": list(failed)}
        )


def _predict_one(path, predictor, config, journal, quiet):
    """Predicts a scan unless it is done; gives the failure of a bad one, else None."""
    from plankton_keras.errors import InputError
    from plankton_keras.files import sha256
    from plankton_keras.prediction import peak_memory_mb, predict_scan, write_prediction
    from plankton_keras.scans import open_scan

    try:
        digest = sha256(path)
        if journal.is_done(path, digest):
            output.say(f"{path} is done already", quiet)
            return None
        started = time.monotonic()
        with open_scan(path, parse_gray_range(config.gray_range)) as scan:
            progress = output.Progress(f"predict {scan.stem}", quiet)
            prediction = predict_scan(
                scan, predictor.probabilities, journal.threshold, config, progress, predictor.judge
            )
            files = write_prediction(journal.path.parent, scan, prediction, predictor.classes, config.probabilities)
    except InputError as error:
        return {"scan": path.name, "path": str(path), "status": "failed", "error": error.what}
    seconds, megapixels = time.monotonic() - started, scan.height * scan.width / 1e6
    journal.scans[str(path)] = {
        "scan": scan.stem,
        "path": str(path),
        "sha256": digest,
        "status": "done",
        "files": files,
        "megapixels": round(megapixels, 2),
        "seconds": round(seconds, 2),
        "megapixels_per_second": round(megapixels / seconds, 2),
        "peak_memory_mb": peak_memory_mb(),
        "objects": len(prediction.objects),
        "living_share": round(float((prediction.classes > 0).mean()), 6),
    }
    journal.write()
    return None


def _say_cost(predictor, paths, config, as_json):
    """Says what the prediction would take, from one timed window."""
    import numpy as np

    from plankton_keras.prediction import peak_memory_mb, rows_of
    from plankton_keras.scans import open_scan

    tiles = pixels = read = 0
    for path in paths:
        with open_scan(path, parse_gray_range(config.gray_range)) as scan:
            windows = [tile.read for row in rows_of(scan.height, scan.width, config) for tile in row]
            pixels += scan.height * scan.width
        tiles += len(windows)
        read += sum(window.height * window.width for window in windows)
    batch = np.full((config.batch_size, config.tile, config.tile), 225, np.uint8)
    predictor.probabilities(batch)
    started = time.monotonic()
    predictor.probabilities(batch)
    seconds = (time.monotonic() - started) / batch.size * read
    plan = {
        "scans": len(paths),
        "megapixels": round(pixels / 1e6, 1),
        "tiles": tiles,
        "seconds": round(seconds, 1),
        "memory_mb": peak_memory_mb(),
    }
    lines = [
        f"{len(paths)} scans, {pixels / 1e6:.0f} Mpx, {tiles} tiles: about {output.duration(seconds)}, "
        f"{plan['memory_mb']} MB of memory; nothing written"
    ]
    output.finish(plan, lines, as_json)
