"""Our side of `bench.py`, under TensorFlow: what `plankton predict` and `train` call, in a process of its own."""

import dataclasses
import logging
import os
import time
from pathlib import Path

import cv2
import numpy as np
import workers

from plankton_keras.noise import no_noise

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with no_noise():
    import keras
    import keras_side
    import tensorflow as tf

    from plankton_keras import devices
    from plankton_keras.config import PredictConfig
    from plankton_keras.counting import count_pixels, scores_of_counts
    from plankton_keras.data import augment
    from plankton_keras.data.codec import decode
    from plankton_keras.data.dataset import Stream, training_dataset
    from plankton_keras.data.records import read_manifest, read_patches
    from plankton_keras.images import CLASS_PNG, GRAY_PNG
    from plankton_keras.inference import load_predictor
    from plankton_keras.losses import SegmentationLoss
    from plankton_keras.pairs import ScanPair
    from plankton_keras.patches import lookup_table
    from plankton_keras.prediction import batches_of, predict_maps, predict_scan, rows_of, write_prediction
    from plankton_keras.runs import Run, versions
    from plankton_keras.scans import open_pair, open_scan
    from plankton_keras.tiles import Window
    from plankton_keras.training import compile_model

BAND = 1024


class Ours:
    """Answers the questions of `comparisons.py`. Paths are texts, and times are in seconds."""

    def versions(self):
        """Gives the versions of what computes."""
        return versions()

    def load(self, run, weights):
        """Loads a run and writes its weights for the other side.

        Args:
            run: The run folder.
            weights: Where to write the arrays as npz, named `LAYER/NUMBER`.

        Returns:
            A dictionary of what the other side has to know.
        """
        opened = Run(Path(run)).open()
        config, thresholds = opened.read_config(), opened.read_thresholds()
        if config.model != "unet" or config.full_resolution:
            raise SystemExit(f"{run} is no unet of half resolution, the only network that torch_side.py has.")
        self.model, self.run_config = keras.saving.load_model(opened.model, compile=False), config
        arrays = keras_side.weights_of(self.model)
        np.savez(weights, **{f"{name}/{index}": each for name in arrays for index, each in enumerate(arrays[name])})
        self.predictor = load_predictor(run)
        if len(self.predictor.classes) != keras_side.NUM_CLASSES:
            raise SystemExit(f"{run} has {len(self.predictor.classes)} classes, and torch_side.py two.")
        self.config = PredictConfig().for_classes(len(self.predictor.classes))
        return {
            "width": config.width,
            "depth": config.depth,
            "parameters": keras_side.parameter_count(self.model),
            "threshold": thresholds["pixel"]["threshold"],
            "temperature": opened.temperature(),
            "has_judge": self.predictor.judge is not None,
            "settings": config.to_json(),
        }

    def forget(self, run):
        """Takes the network at full resolution with random weights, as `peers_side.Peers.forget`; gives its parameters.

        Args:
            run: The run folder, whose other settings are kept.
        """
        self.run_config = dataclasses.replace(Run(Path(run)).open().read_config(), full_resolution=True)
        self.model = keras_side.build(self.run_config, "float32")
        return keras_side.parameter_count(self.model)

    def windows(self, images, out):
        """Computes windows, uint8 `(count, side, side)` as npy; writes float32 `(count, side, side, 2)`."""
        np.save(out, self.predictor.probabilities(np.load(images)))

    def predict(self, scan, out, judge):
        """Predicts a scan and writes its files, as `plankton predict` does once the model is loaded."""
        started = time.monotonic()
        Path(out).mkdir(exist_ok=True)
        predictor = self.predictor
        with open_scan(Path(scan)) as opened:
            found = predict_scan(
                opened,
                predictor.probabilities,
                predictor.threshold,
                self.config,
                judge=predictor.judge if judge else None,
            )
            write_prediction(Path(out), opened, found, predictor.classes)
        return time.monotonic() - started

    def probability(self, scan, out):
        """Writes what the network alone says of a scan: uint8 `(height, width)`, 255 = 1, as npy."""
        with open_scan(Path(scan)) as opened:
            np.save(out, predict_maps(opened, self.predictor.probabilities, self.config)[2])

    def score(self, scan, mask, found):
        """Gives the pixel F1 of a mask, a PNG of class indices or npy of 0 and 1."""
        classes = np.load(found) if found.endswith(".npy") else cv2.imread(found, cv2.IMREAD_UNCHANGED)
        truth_scan, truth = open_pair(ScanPair("scan", Path(scan), Path(mask), None))
        confusion = 0
        with truth_scan, truth:
            table = lookup_table(self.predictor.target, truth.ids(), truth.path)
            for top in range(0, truth.height, BAND):
                window = Window(top, 0, min(BAND, truth.height - top), truth.width)
                confusion = confusion + count_pixels(table[truth.read(window)], classes[window.slices], 2)
        return scores_of_counts(confusion[1, 1], confusion[0, 1], confusion[1, 0])["f1"]

    def hold(self, scan):
        """Reads all windows that cover a scan into memory; gives their pixels."""
        with open_scan(Path(scan)) as opened:
            rows = rows_of(opened.height, opened.width, self.config)
            self.held = [images for _, images in batches_of(opened, rows, self.config)]
        return sum(images.size for images in self.held)

    def bare(self):
        """Computes the windows held and nothing else."""
        started = time.monotonic()
        for images in self.held:
            self.predictor.probabilities(images)
        return time.monotonic() - started

    def train_on(self, batch):
        """Compiles the model as `plankton train` does.

        Args:
            batch: npz with `images`, uint8 `(batch, side, side)`, and `masks`, 0 or 1, of the same shape.

        Returns:
            The loss of the batch as it is.
        """
        # Training sets TensorFlow up for itself, so this belongs into a process that does nothing else.
        devices.prepare("float32", 0)
        with np.load(batch) as arrays:
            self.batch = arrays["images"][..., None].astype(np.float32), arrays["masks"][..., None]
        loss = float(SegmentationLoss(self.run_config.loss)(self.batch[1], self.model(self.batch[0], training=False)))
        steps = max(1, self.run_config.steps_per_epoch)
        compile_model(self.model, dataclasses.replace(self.run_config, steps_per_epoch=steps))
        return loss

    def train(self, steps):
        """Trains some steps."""
        started = time.monotonic()
        for _ in range(steps):
            self.model.train_on_batch(*self.batch)
        return time.monotonic() - started

    def unpack(self, records, folder):
        """Writes the training patches of a records folder as PNG files, as small as they are in the records."""
        patches = list(read_patches(records, read_manifest(records), "train"))
        for index, patch in enumerate(patches):
            for what, how in (("image", GRAY_PNG), ("mask", CLASS_PNG)):
                cv2.imwrite(f"{folder}/{index:05d}_{what}.png", getattr(patch, what), how)
        return len(patches)

    def stream(self, name, records, settings, batch_size, window):
        """Makes a training dataset with an augmentation of its own settings, or that of the name if they are None."""
        if settings:
            augment.STRENGTHS[name] = augment.Strength(**settings)
        stream = Stream(batch_size=batch_size, window=window, augmentation=name, seed=0)
        self.streams = {**getattr(self, "streams", {}), name: training_dataset(records, read_manifest(records), stream)}

    def draw(self, name, skipped, batches, out=None):
        """Draws batches; the first ones, made before the clock starts, are skipped. The last may be written as npz."""
        stream = iter(self.streams[name])
        for _ in range(skipped):
            next(stream)
        started = time.monotonic()
        for _ in range(batches):
            images, masks = next(stream)
        seconds = time.monotonic() - started
        if out:
            np.savez(out, images=images.numpy()[..., 0], masks=masks.numpy()[..., 0])
        return seconds

    def same_records(self, plain, records):
        """Compares a file of records with the training split of a folder; gives their number."""

        def key(patch):
            return patch.window, patch.image.tobytes(), patch.mask.tobytes()

        ours = {hash(key(patch)) for patch in read_patches(records, read_manifest(records), "train")}
        theirs = {hash(key(decode(record.numpy()))) for record in tf.data.TFRecordDataset(plain)}
        if ours != theirs:
            raise SystemExit(f"{len(ours - theirs)} of our {len(ours)} records are not among the {len(theirs)} plain.")
        return len(ours)


if __name__ == "__main__":
    logging.disable(logging.INFO)
    workers.serve(Ours())
