"""`plankton train`: records to a run."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from plankton_keras.cli import options, output
from plankton_keras.config import ENCODERS, PRESETS, VIGNETTE_PRESETS, TrainConfig

# Settings that other networks do not have.
OF_UNET = ("width", "depth", "full_resolution")
OF_PIXELS = ("window", "loss", "class_weights", "pixels_only")


@click.command()
@click.argument("records", type=options.FOLDER)
@options.out_option
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="default",
    show_default=True,
    help="Settings to start from. On 2 cores, 24 scans of 4096 x 3072 pixels for training and 12 for validation: quick "
    "takes 6 minutes (F1 0.945), default 10 (F1 0.948, a plain threshold 0.856); best is for a GPU.",
)
@options.config_options(TrainConfig)
@options.flags("dry_run", "resume", "overwrite", "json", "quiet")
def train(records, out, preset, config_file, flags, **settings):
    """Train a model on records.

    RECORDS is a folder that make-tfrecords wrote. The best model on the validation scans is kept; a call that was
    interrupted goes on with --resume. KERAS_BACKEND=jax trains under JAX.

    \b
    Example:
        plankton train tfrecords/pointb --out runs/unet --preset default
    """
    config = options.build_config(TrainConfig, settings, config_file, PRESETS[preset])
    options.keep_apart(out, flags.overwrite, [records])
    output.prepare(flags.quiet, backend=None)
    from plankton_keras import devices, schema, training
    from plankton_keras.data.records import read_manifest
    from plankton_keras.files import claim_folder, write_json
    from plankton_keras.judging import calibrate, complete
    from plankton_keras.leaks import check_records
    from plankton_keras.models import build_model
    from plankton_keras.runs import Run

    manifest = read_manifest(records)
    check_records(manifest, records)
    if manifest.kind == schema.VIGNETTES or config.model in ENCODERS:
        config = options.build_config(TrainConfig, settings, config_file, VIGNETTE_PRESETS[preset])
    kind = _kind_for(config.model, manifest.kind, settings)
    steps = config.steps_per_epoch or -(-manifest.count("train", kind) // config.batch_size)
    window = min(config.window, manifest.patch_size) if kind == schema.PATCHES else config.window
    config = replace(config, steps_per_epoch=steps, window=window)
    precision = devices.prepare(config.precision, config.seed)
    team = devices.team()
    share = team.share(config.batch_size)
    if flags.dry_run:
        model = build_model(config, len(manifest.classes))
        _say_cost(model, replace(config, batch_size=share), manifest, kind, flags.json)
        return
    with devices.scope():
        model = build_model(config, len(manifest.classes))
        training.compile_model(model, config, _class_weights(config, manifest))
        _check_start(config, records, manifest, kind)
        run = Run(claim_folder(out, flags.overwrite, flags.resume))
        _keep_settings(run, config, records)
        training.check_same_epoch(training.History(run), team.processes)
        datasets, board = _datasets(records, manifest, config, run, team)
        output.say(
            f"{config.model}, {model.count_params() / 1e6:.2f} M parameters, {precision}; "
            f"{manifest.count('train', kind)} {kind}, {steps} batches an epoch"
            + (f", {team.devices} devices" if team.devices > 1 else ""),
            flags.quiet,
        )
        history = training.fit(model, datasets, config, run, [board], None if flags.quiet else _report(config))
    fitted = {}
    if kind == schema.PATCHES:
        output.say("fitting the threshold and the weight of whole objects on the validation scans", flags.quiet)
        fitted = {"val_scans": complete(run, records, manifest, config)}
    else:
        calibrate(run, records, manifest)
    provenance = _provenance(records, manifest, precision, getattr(model, "start", "random weights"))
    result = {**training.finish(history, config, provenance), **fitted}
    write_json(run.metrics, {"out": str(out), **result})
    lines = [
        f"{config.model}: best epoch {result['best_epoch']} of {result['epochs']}, "
        "val " + ", ".join(f"{name} {score:.3f}" for name, score in result["val"].items()),
        *(_say_fitted(scores) for scores in fitted.values()),
        f"{output.duration(result['seconds'])}, {result['patches_per_second']:.1f} {kind}/s",
        f"Curves and pictures: tensorboard --logdir {run.logs}",
        f"Next: plankton evaluate {out} {'SCANS' if kind == schema.PATCHES else records} --out evaluations/NAME",
    ]
    output.finish({"out": str(out), **result}, lines, flags.json)


def _check_start(config, records, manifest, kind):
    """Refuses weights or records that would end a training, before an earlier run is deleted."""
    from plankton_keras import schema
    from plankton_keras.data.records import check_shards
    from plankton_keras.judging import check_start

    needed = [("train", kind), ("val", kind)]
    if kind == schema.PATCHES and not config.pixels_only and manifest.count("train", schema.VIGNETTES):
        check_start(config)
        needed.append(("train", schema.VIGNETTES))
    for split, kind_of in needed:
        check_shards(records, manifest, split, kind_of)


def _say_fitted(scores):
    """Words what the validation scans showed."""
    objects = "whole objects count too" if "objects" in scores else "pixels alone count"
    return (
        f"whole validation scans: F1 {scores['f1']:.3f} at threshold {scores['foreground']:.2f}, {objects} "
        f"(network alone {scores['pixel']['f1']:.3f})"
    )


def _kind_for(model, found, given):
    """Tells what records a network is for; refuses those of vignettes for a network of patches, and idle options."""
    from plankton_keras import schema
    from plankton_keras.errors import SettingError

    if model not in ENCODERS and found == schema.VIGNETTES:
        raise SettingError(
            f"--model is {model!r}, but the records hold vignettes.",
            f"one of {', '.join(ENCODERS)}.",
            "leave --model out.",
        )
    # A --config names all settings, and is not asked.
    idle = (*(OF_UNET if model != "unet" else ()), *(OF_PIXELS if model in ENCODERS else ()))
    for flag in ("--" + name.replace("_", "-") for name in idle if given.get(name) is not None):
        raise SettingError(f"{flag} has no effect on {model}.", "options of that network.", f"leave {flag} out.")
    return schema.VIGNETTES if model in ENCODERS else schema.PATCHES


def _keep_settings(run, config, records):
    """Saves the settings of a new run, and what records it is of; refuses to go on with others."""
    from plankton_keras import schema
    from plankton_keras.errors import ArtefactError
    from plankton_keras.files import sha256, write_json

    manifest = sha256(Path(records) / schema.MANIFEST)
    if run.records() not in (None, manifest):
        raise ArtefactError(
            f"{run.folder} was begun with other records than {records}.",
            "the records of its training, as they were.",
            "give these, or choose another --out.",
        )
    if run.config.is_file() and run.read_config() != config:
        raise ArtefactError(
            f"{run.folder} was begun with other settings.", f"those of {run.config}.", f"add --config {run.config}."
        )
    write_json(run.config, config.to_json())
    write_json(run.begun, {"records": str(records), "manifest_sha256": manifest}, sealed=True)


def _class_weights(config, manifest):
    """Weighs the classes for the loss, if that is asked for."""
    if config.class_weights == "none":
        return None
    from plankton_keras.losses import balanced_weights

    return balanced_weights(manifest.class_share.values())


def _datasets(records, manifest, config, run, team):
    """Makes the datasets and the TensorBoard callback, for the epochs that are still to do.

    The callback gets whole batches: every process draws the same pictures.
    """
    from plankton_keras.data.dataset import Stream, evaluation_dataset, own_rows, training_dataset
    from plankton_keras.tensorboard import Board, PatchBoard
    from plankton_keras.training import History

    done = len(History(run).rows)
    stream = Stream(
        batch_size=config.batch_size,
        window=config.window if config.model not in ENCODERS else manifest.settings["vignette_size"],
        augmentation=config.augmentation,
        seed=config.seed,
        first_step=done * config.steps_per_epoch,
    )
    if config.model in ENCODERS:
        from plankton_keras.data.vignette_dataset import evaluation_vignettes, training_vignettes
        from plankton_keras.data.vignette_records import read_vignettes

        training = training_vignettes(read_vignettes(records, manifest, "train"), stream)
        vignettes = read_vignettes(records, manifest, "val")
        validation = evaluation_vignettes(vignettes, config.batch_size, team.devices)
        board = Board(run.logs, training, first_epoch=done)
    else:
        training = training_dataset(records, manifest, stream)
        per_batch = team.fill(max(1, config.batch_size * config.window**2 // manifest.patch_size**2))
        validation = evaluation_dataset(records, manifest, "val", per_batch, team.devices)
        board = PatchBoard(run.logs, training, validation, first_epoch=done)
    return tuple(own_rows(each, team.process, team.processes) for each in (training, validation)), board


def _provenance(records, manifest, precision, start):
    """Gathers what the run was made of."""
    import keras

    from plankton_keras import schema
    from plankton_keras.data.vignette_records import training_digests
    from plankton_keras.files import sha256
    from plankton_keras.runs import FORMAT_VERSION, now, versions

    dpis = {source.dpi for source in manifest.sources}
    return {
        "format_version": FORMAT_VERSION,
        "created": now(),
        "command": ["plankton", *sys.argv[1:]],
        "versions": versions(),
        "backend": keras.config.backend(),
        "precision": precision,
        "start": start,
        "records": str(records),
        "manifest_sha256": sha256(Path(records) / schema.MANIFEST),
        "classes": list(manifest.classes),
        "target": manifest.target,
        # The first records hold patches alone.
        "vignette_size": manifest.settings.get("vignette_size"),
        "dpi": dpis.pop() if len(dpis) == 1 else None,
        "training_scans": {source.scan_sha256: source.stem for source in manifest.sources if source.split == "train"},
        "validation_scans": {source.scan_sha256: source.stem for source in manifest.sources if source.split == "val"},
        "training_vignettes": training_digests(records, manifest),
        "training_looks": [source.look for source in manifest.sources if source.split == "train"],
    }


def _report(config):
    """Makes the function that prints a line an epoch."""

    def report(history):
        row, best = history.rows[-1], history.best
        left = (config.epochs - len(history.rows)) * row["seconds"]
        output.say(
            f"epoch {int(row['epoch'])}/{config.epochs}  loss {row['loss']:.3f}  val_f1 {row['val_f1']:.3f} "
            f"(best {best['val_f1']:.3f} at {int(best['epoch'])})  {row['seconds']:.0f} s  eta {output.duration(left)}"
        )

    return report


def _say_cost(model, config, manifest, kind, as_json):
    """Says what the training would take, from three timed steps on random pixels."""
    import time

    import numpy as np

    from plankton_keras import schema, training

    training.compile_model(model, config)
    count, side = config.batch_size, config.window if kind == schema.PATCHES else manifest.settings["vignette_size"]
    images = np.random.default_rng(0).uniform(0, 255, (count, side, side, 1)).astype("float32")
    batch = images, np.zeros(images.shape, "uint8")
    if kind == schema.VIGNETTES:
        batch = {"image": images, "side": np.full((count, 1), side, "float32")}, np.zeros(count, "int32")
    model.train_on_batch(*batch)
    started = time.monotonic()
    for _ in range(3):
        model.train_on_batch(*batch)
    seconds = (time.monotonic() - started) / 3 * config.steps_per_epoch * config.epochs
    plan = {
        "model": config.model,
        "parameters": model.count_params(),
        kind: manifest.count("train", kind),
        "steps": config.steps_per_epoch * config.epochs,
        "seconds": round(seconds),
    }
    lines = [f"{name}: {value}" for name, value in plan.items() if name != "seconds"]
    output.finish(plan, [*lines, f"about {output.duration(seconds)}; nothing written"], as_json)
