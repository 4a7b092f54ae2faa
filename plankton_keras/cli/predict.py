"""`plankton predict`: whole scans to masks, object tables and overlays."""

import functools
import itertools
import math
import time

import click

from plankton_keras.cli import options, output
from plankton_keras.config import STRIDE, PredictConfig, parse_gray_range
from plankton_keras.errors import SettingError, counted


@click.command()
@click.argument("paths", type=options.FOLDER, nargs=-1, required=True, metavar="MODEL... SCAN...")
@options.out_option
@click.option("--server", metavar="URL", help="Have a service predict, which plankton serve started; no MODEL then.")
@options.token_option
@click.option("--dpi", type=options.DPI, help="With --server: resolution of scans that do not say theirs.")
@options.config_options(PredictConfig)
@options.flags("workers", "scheduler", "dry_run", "overwrite", "json", "quiet")
def predict(paths, out, server, flags, **settings):
    """Predict whole scans of any size.

    MODEL is a run or an export; several are averaged. Each SCAN is a file or a folder of them. Scans that are done are
    skipped when the command is run again.

    \b
    Example:
        plankton predict runs/unet scans/test --out predictions/test
        plankton predict --server http://127.0.0.1:8501 scans/test --out predictions/test
    """
    options.keep_apart(out, flags.overwrite, paths)
    if server is not None:
        _predict_there(server, paths, out, flags, settings)
        return
    if settings["dpi"] is not None:
        raise SettingError(
            "--dpi goes with --server alone.", "no --dpi: masks have none.", "give it to plankton measure."
        )
    config = options.build_config(PredictConfig, settings, settings["config_file"])
    output.prepare(flags.quiet)
    from plankton_keras.cluster import Crew, deal
    from plankton_keras.journal import Journal, claim_predictions
    from plankton_keras.pairs import ScanPair, find_scans, stem_of
    from plankton_keras.predicting import Job, load, predict_file
    from plankton_keras.prediction import check_tiles
    from plankton_keras.scan_checks import check_headers

    models, scans = _models_and_scans(paths)
    crew = Crew(flags.workers, flags.scheduler)
    predictor = load(tuple(models), config.turns)
    config = config.for_classes(len(predictor.classes))
    # A threshold that cannot be had, or tiles that own nothing, are said before anything is deleted.
    predictor.threshold_for(config)
    check_tiles(config)
    paths = find_scans(scans)
    # One that is bad is known now, not after hours; the others are predicted all the same.
    bad = {path: check_headers([ScanPair(stem_of(path), path, None, None)]) for path in paths}
    for finding in itertools.chain(*bad.values()):
        output.say(f"A scan will be left out: {finding.what}", flags.quiet)
    if flags.dry_run:
        _say_cost(predictor, [path for path in paths if not bad[path]], config, flags.json)
        return
    crew.check()
    # Predict goes on by itself: the journal in the folder says what is done.
    journal = Journal.of(claim_predictions(out, flags.overwrite), predictor, config)
    journal.recognise(paths)
    jobs = [Job(crew.reach(path), journal.digest(path)) for path in paths]
    work = functools.partial(
        predict_file,
        models=tuple(crew.reach(model) for model in models),
        digest=predictor.digest,
        config=config,
        out=crew.reach(out),
    )
    failed, names = {}, [path.name for path in paths]
    for outcome in deal(work, jobs, crew, output.Progress("predict", flags.quiet), names):
        path = paths[outcome.index]
        if outcome.error:
            failed[path] = journal.fail(path, outcome.error.what)
        elif outcome.value is None:
            output.say(f"{path} is done already", flags.quiet)
        else:
            crew.check_written(out / name for name in outcome.value["files"])
            journal.add(path, outcome.value)
    journal.finish()
    _report(out, paths, journal.scans, failed, flags.json)


def _models_and_scans(paths):
    """Tells models from scans; the first path has to be a model, and says itself what is wrong with it."""
    from plankton_keras.inference import is_model

    models = [path for index, path in enumerate(paths) if index == 0 or is_model(path)]
    scans = [path for path in paths if path not in models]
    if not scans:
        raise click.UsageError("Missing argument 'SCAN...': give scans, or folders of them.")
    return models, scans


def _report(out, paths, done, failed, as_json):
    """Prints what prediction.json has of scans, in their order: `done` by path as text, `failed` by path."""
    done = [done[str(path)] for path in paths if str(path) in done]
    failed = [failed[path] for path in paths if path in failed]
    result = {"out": str(out), "scans": done, "failed": failed}
    lines = [
        f"{entry['scan']}: {counted(entry['objects'], 'object')}, {entry['megapixels']:.1f} Mpx in "
        f"{entry['seconds']:.1f} s ({entry['megapixels_per_second']:.1f} Mpx/s), peak memory "
        f"{entry['peak_memory_mb']} MB"
        for entry in done
    ]
    lines += [
        f"{entry['scan']} is unlike the training scans: {text}" for entry in done for text in entry["unlike_training"]
    ]
    lines += [f"{entry['scan']}: no object was found; look at its overlay" for entry in done if not entry["objects"]]
    lines += [f"failed: {entry['scan']}: {entry['error']}" for entry in failed]
    output.finish(result, [*lines, f"Masks, object tables and overlays: {out}"], as_json)
    if failed:
        click.get_current_context().exit(3)


def _predict_there(url, paths, out, flags, settings):
    """Predicts scans by a service; its settings are those of the service."""
    own = [name for name in ("config_file", *PredictConfig.names()) if settings[name] is not None]
    own += [name for name in ("workers", "scheduler", "dry_run") if getattr(flags, name) not in (None, False, 1)]
    if own:
        raise SettingError(
            f"--server goes with no --{own[0].replace('_', '-').removesuffix('-file')}.",
            "the settings of the service.",
            "leave it out, or predict without --server.",
        )
    output.need("httpx", "serve")
    output.listen(flags.quiet)
    from plankton_keras.journal import claim_predictions
    from plankton_keras.pairs import find_scans
    from plankton_keras.serve.client import Client
    from plankton_keras.serve.fetching import Fetcher

    scans = find_scans(paths)
    with Client(url, settings["token"]) as client:
        client.service()
        fetcher = Fetcher(client, claim_predictions(out, flags.overwrite))
        progress = output.Progress("predict", flags.quiet, unit=("scans", 1))
        predicted = fetcher.predict(scans, settings["dpi"], progress)
        failed = {path: entry for path, entry in predicted if entry}
    fetcher.finish()
    _report(out, scans, fetcher.scans, failed, flags.json)


def _say_cost(predictor, paths, config, as_json):
    """Says what the prediction would take, from one timed call."""
    import numpy as np

    from plankton_keras.prediction import peak_memory_mb, rows_of, windows_a_call
    from plankton_keras.scans import open_scan

    tiles = pixels = read = 0
    shape = (1, STRIDE, STRIDE)
    for path in paths:
        with open_scan(path, parse_gray_range(config.gray_range)) as scan:
            rows = rows_of(scan.height, scan.width, config, predictor.judge)
            windows = [tile.read for row in rows for tile in row]
            pixels += scan.height * scan.width
        tiles += len(windows)
        read += sum(window.height * window.width for window in windows)
        count = min(windows_a_call(windows[0], config), len(windows))
        shape = max(shape, (count, windows[0].height, windows[0].width), key=math.prod)
    batch = np.full(shape, 225, np.uint8)
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
    # Where a judge says which windows are computed, only a scan's objects tell how many.
    how = "at most" if predictor.judge else "about"
    lines = [
        f"{counted(len(paths), 'scan')}, {pixels / 1e6:.0f} Mpx, {counted(tiles, 'tile')}: "
        f"{how} {output.duration(seconds)}, {plan['memory_mb']} MB of memory; nothing written"
    ]
    output.finish(plan, lines, as_json)
