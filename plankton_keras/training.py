"""Training of a model on datasets: compile, fit, keep the best, back up every epoch, and go on where a run was cut.

Pure Keras; the datasets come ready. Paths are those of the run folder.
"""

import csv
import hashlib
import io
import math
import shutil
import time

import keras
import numpy as np

from plankton_keras.config import SEGMENTATION_MODELS
from plankton_keras.errors import ArtefactError, PlanktonError, SettingError
from plankton_keras.files import read_json, sha256, whole_file, write_json
from plankton_keras.losses import SegmentationLoss, VignetteLoss
from plankton_keras.metrics import PixelScores, VignetteScores
from plankton_keras.thawing import ThawingAdamW, freeze_statistics, plan

# What to do where an interrupted run cannot go on.
ANEW = "train anew with --overwrite."


def compile_model(model, config, class_weights=None):
    """Gives a model its optimiser, loss and metric.

    AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101); the learning rate warms up over the first twentieth of the
    steps and then falls along a cosine to a hundredth of its peak. With `frozen_epochs` the encoder stays as it is for
    so many epochs, and thaws over as many more.

    Args:
        model: A `keras.Model` that gives logits.
        config: A `config.TrainConfig` with `steps_per_epoch` above 0.
        class_weights: A weight a class for the loss, or None.

    Raises:
        SettingError: If an encoder shall be frozen where there is none.
    """
    replicas = _replicas(model)
    steps = config.epochs * config.steps_per_epoch
    warmup = max(1, steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 100,
        decay_steps=max(1, steps - warmup),
        alpha=0.01,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    thaw = {}
    if config.frozen_epochs:
        if config.model == "unet":
            raise SettingError(
                f"--frozen-epochs is {config.frozen_epochs}, but a unet has no encoder.",
                "a model with an encoder, such as mobilenet_075_unet.",
                "leave --frozen-epochs out.",
            )
        encoder = model.get_layer("encoder")
        freeze_statistics(encoder)
        first = config.frozen_epochs * config.steps_per_epoch
        thaw = plan(encoder, first, 2 * first)
    # The gradient is the sum over replicas, each of which clips its own part.
    optimizer = ThawingAdamW(rate, weight_decay=config.weight_decay, clipnorm=1.0 / replicas, thaw=thaw)
    # What starts from pretrained weights shall not be drawn to zero. Keras looks for names in those of variables, which
    # are paths under TensorFlow alone.
    thawing = [variable for variable in model.trainable_variables if variable.path in thaw]
    optimizer.exclude_from_weight_decay(var_list=thawing, var_names=["gamma", "beta", "bias"])
    if config.model in SEGMENTATION_MODELS:
        loss, scores = SegmentationLoss(config.loss, class_weights=class_weights), PixelScores()
        # Keras divides a loss by the number of replicas where it reduces it, but this one is a scalar already.
        weight = 1.0 / replicas
    else:
        loss, scores, weight = VignetteLoss(), VignetteScores(model.output_shape[-1]), 1.0
    model.compile(optimizer=optimizer, loss=loss, loss_weights=weight, metrics=[scores])


def _replicas(model):
    """Counts the copies of a model that TensorFlow trains side by side; JAX has one, however many devices there are."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy.num_replicas_in_sync if strategy else 1


class History:
    """The rows of history.csv, rewritten whole after each epoch: a row stands there if and only if its backup does.

    Keras' `BackupAndRestore` writes weights and epoch number one after the other, and forgets what the best epoch was;
    a kill between the two would train an epoch twice. Here the history is the one truth, and the backups carry the
    epoch's number.

    Args:
        run: A `runs.Run`.
    """

    def __init__(self, run):
        self.run, self.rows = run, []
        if run.history.is_file():
            self.rows = _read_rows(run.history)

    @property
    def best(self):
        """The row with the highest validation F1, the first of equals; None before the first epoch."""
        return max(self.rows, key=lambda row: row["val_f1"], default=None)

    def backup(self, epoch):
        """Gives the path of the state after an epoch."""
        return self.run.backup / f"epoch-{epoch:04d}.weights.h5"

    def digests(self, epoch):
        """Gives the path of the digests of the model and of the state after an epoch."""
        return self.run.backup / f"epoch-{epoch:04d}.json"

    def read_digests(self, epoch):
        """Reads the digests after an epoch; an empty dictionary where an earlier version wrote none."""
        path = self.digests(epoch)
        return read_json(path, ANEW) if path.is_file() else {}

    def check(self):
        """Checks that the rows are still those that were written last.

        Raises:
            ArtefactError: If the file is damaged.
        """
        known = self.read_digests(len(self.rows)).get("history")
        if known not in (None, self.rows and sha256(self.run.history)):
            raise ArtefactError(f"{self.run.history} is damaged.", "the file as it was written.", ANEW)

    def check_model(self):
        """Checks that the model on the disk is still the one that was saved last.

        Raises:
            ArtefactError: If it is damaged.
        """
        if self.run.provenance.is_file():
            self.run.check(self.run.model)
        known = self.read_digests(len(self.rows)).get("model")
        if not self.run.model.is_file() or known not in (None, sha256(self.run.model)):
            raise ArtefactError(f"{self.run.model} is missing or damaged.", "the file as it was saved.", ANEW)

    def append(self, row, model):
        """Adds a row and writes the file, after the digests of all that the epoch left.

        Args:
            row: The row of an epoch whose state has been saved.
            model: Digest of the best model.
        """
        self.rows.append(row)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(row))
        writer.writeheader()
        writer.writerows({**each, "epoch": int(each["epoch"])} for each in self.rows)
        content, epoch = text.getvalue().encode(), len(self.rows)
        known = {"model": model, "state": sha256(self.backup(epoch)), "history": hashlib.sha256(content).hexdigest()}
        write_json(self.digests(epoch), known, sealed=True)
        with whole_file(self.run.history) as partial:
            partial.write_bytes(content)


def _read_rows(path):
    """Reads history.csv: dictionaries of numbers, an epoch each."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        if [row["epoch"] for row in rows] != list(range(1, len(rows) + 1)):
            raise ValueError("epochs are missing")
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise ArtefactError(f"{path} is damaged: {error}.", "a row an epoch, as train wrote it.", ANEW) from None
    return rows


class Keeper(keras.callbacks.Callback):
    """Keeps the best model, the history and the backup of a run, and stops when nothing gets better.

    Args:
        history: A `History`.
        patience: Epochs without a better validation F1 before training stops; 0 never stops.
        report: Called with the row of each epoch, or None.
    """

    def __init__(self, history, patience, report=None):
        super().__init__()
        self.history, self.patience, self.report = history, patience, report

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the time, and sets what dropout draws from: Keras saves no random state with the weights."""
        self.started = time.monotonic()
        for variable in self.model.variables:
            if variable.path.endswith("seed_generator_state"):
                seed = int(keras.ops.convert_to_numpy(variable)[0])
                variable.assign(keras.ops.array([seed, epoch * self.params["steps"]], variable.dtype))

    def on_epoch_end(self, epoch, logs=None):
        """Saves what the epoch brought, in an order that survives a kill at any point."""
        best = self.history.best
        row = {"epoch": epoch + 1, "loss": float(logs["loss"]), "val_loss": float(logs["val_loss"])}
        row.update({name: float(score) for name, score in logs.items() if name.startswith("val_")})
        if best is None or row["val_f1"] > best["val_f1"]:
            with whole_file(self.history.run.model) as partial:
                self.model.save(partial)
            saved = sha256(self.history.run.model)
        else:
            saved = self.history.read_digests(epoch).get("model")
        variables = (*self.model.variables, *self.model.optimizer.variables)
        # A number has 4 bytes, and each variable a page or less around it.
        least = sum(4 * math.prod(variable.shape) + 4096 for variable in variables)
        with whole_file(self.history.backup(epoch + 1), least) as partial:
            self.model.save_weights(partial)
        self.history.append({**row, "seconds": round(time.monotonic() - self.started, 2)}, saved)
        for path in (self.history.backup(epoch), self.history.digests(epoch)):
            path.unlink(missing_ok=True)
        if self.patience and epoch + 1 - self.history.best["epoch"] >= self.patience:
            self.model.stop_training = True
        if self.report:
            self.report(self.history)


class StopOnNaN(keras.callbacks.Callback):
    """Ends the run with an error, not with a useless model, when the loss is no number."""

    def on_train_batch_end(self, batch, logs=None):
        """Checks the loss of the step."""
        if logs and not math.isfinite(float(logs["loss"])):
            raise PlanktonError(
                f"The loss is {float(logs['loss'])} at step {batch + 1} of the epoch.",
                "a finite loss.",
                "lower --learning-rate, or train with --precision float32.",
            )


def fit(model, datasets, config, run, callbacks=(), report=None):
    """Trains a compiled model, or goes on with an interrupted training of it.

    Args:
        model: A compiled `keras.Model`.
        datasets: `(training, validation)`; the training dataset starts at the first step that is still to do.
        config: A `config.TrainConfig` with `steps_per_epoch` above 0.
        run: A `runs.Run`; its folder exists.
        callbacks: Further Keras callbacks.
        report: Called with the `History` after each epoch, or None.

    Returns:
        The `History`.

    Raises:
        PlanktonError: If the loss becomes NaN.
        ArtefactError: If what an interrupted call left is damaged.
    """
    training, validation = datasets
    history = History(run)
    done = len(history.rows)
    history.check()
    run.backup.mkdir(parents=True, exist_ok=True)
    if done < config.epochs and not _stopped_early(history, config.patience):
        if done:
            restore(model, history, done)
        model.fit(
            training,
            validation_data=validation,
            epochs=config.epochs,
            initial_epoch=done,
            steps_per_epoch=config.steps_per_epoch,
            callbacks=[StopOnNaN(), Keeper(history, config.patience, report), *callbacks],
            shuffle=False,
            verbose=0,
        )
    history.check_model()
    return history


def check_same_epoch(history, processes):
    """Checks that all processes go on from the same epoch: they would mix epochs, and at the end wait for each other.

    Args:
        history: The `History` of this process' run.
        processes: Number of processes that train together.

    Raises:
        ArtefactError: If another process' run has done more epochs, or fewer.
    """
    if processes == 1:
        return
    # Keras has no word for it, and only JAX has several processes here.
    from jax.experimental import multihost_utils

    done = sorted(set(multihost_utils.process_allgather(np.array([len(history.rows)])).ravel().tolist()))
    if len(done) > 1:
        raise ArtefactError(
            f"The runs of the processes have done {' and '.join(map(str, done))} epochs.",
            "as many in each --out.",
            "copy one of the run folders over the others, or train anew with --overwrite.",
        )


def restore(model, history, epoch):
    """Loads weights, optimiser and counters as they were after an epoch.

    Args:
        model: The compiled model.
        history: Its `History`.
        epoch: Number of epochs done.

    Raises:
        ArtefactError: If the backup is missing or damaged.
    """
    path = history.backup(epoch)
    known = history.read_digests(epoch).get("state")
    if path.is_file() and known not in (None, sha256(path)):
        raise ArtefactError(f"{path} is damaged.", f"the state after epoch {epoch}, as it was saved.", ANEW)
    model.optimizer.build(model.trainable_variables)
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            f"the state after epoch {epoch}.",
            ANEW,
        ) from error


def _stopped_early(history, patience):
    """Tells whether an earlier call ended by patience."""
    return bool(patience and history.rows and len(history.rows) - history.best["epoch"] >= patience)


def finish(history, config, provenance):
    """Writes provenance, with digests, and metrics of the best epoch, which mark the run as whole; drops the backup.

    Args:
        history: The `History` of the training.
        config: The `config.TrainConfig`.
        provenance: Dictionary for provenance.json.

    Returns:
        The `train` object of design/cli.md, without its `out`.
    """
    run, best = history.run, history.best
    seconds = sum(row["seconds"] for row in history.rows)
    patches = len(history.rows) * config.steps_per_epoch * config.batch_size
    result = {
        "model": config.model,
        "epochs": len(history.rows),
        "best_epoch": int(best["epoch"]),
        "val": {
            name.removeprefix("val_"): score
            for name, score in best.items()
            if name.startswith("val_") and name != "val_loss"
        },
        "seconds": round(seconds, 1),
        "patches_per_second": round(patches / max(seconds, 1e-9), 2),
    }
    digests = {path.name: sha256(path) for path in (run.model, run.judge) if path.is_file()}
    write_json(run.provenance, {**provenance, "digests": digests}, sealed=True)
    write_json(run.metrics, result)
    shutil.rmtree(run.backup, ignore_errors=True)
    return result
