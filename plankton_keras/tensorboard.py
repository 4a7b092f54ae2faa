"""TensorBoard: curves, the learning rate, augmented patches with their masks, and predictions beside the truth."""

import keras
import numpy as np
import tensorflow as tf

from plankton_keras.taxa import color_of

PICTURES = 4


def side_by_side(images, *maps):
    """Puts gray patches and class maps next to each other for a look.

    Args:
        images: `(batch, height, width, 1)`, values 0..255.
        maps: Integer class maps of the same shape, drawn as colours over the patch.

    Returns:
        uint8 `(batch, height, width * (1 + len(maps)), 3)`.

    Example:

    >>> side_by_side(np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 1), np.uint8)).shape
    (1, 8, 16, 3)
    """
    gray = np.repeat(np.asarray(images, np.float32), 3, axis=-1)
    panels = [gray]
    for each in maps:
        classes = np.asarray(each)[..., 0]
        panel = gray.copy()
        for index in np.unique(classes[classes > 0]):
            panel[classes == index] = 0.5 * panel[classes == index] + 0.5 * np.array(color_of(index))
        panels.append(panel)
    return np.clip(np.concatenate(panels, axis=2), 0, 255).astype(np.uint8)


class Board(keras.callbacks.Callback):
    """Writes TensorBoard's logs of a run: scalars every epoch, and the first augmented batch.

    Args:
        folder: The log folder.
        training: The training dataset.
        first_epoch: Number of epochs that an interrupted run has logged already.
    """

    def __init__(self, folder, training, first_epoch=0):
        super().__init__()
        self.folder, self.training, self.first_epoch = folder, training, first_epoch

    def on_train_begin(self, logs=None):
        """Shows what the model is trained on."""
        self.writer = tf.summary.create_file_writer(str(self.folder), filename_suffix=f".{self.first_epoch}")
        if not self.first_epoch:
            self.show_batch(*next(iter(self.training)))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's scalars."""
        with self.writer.as_default():
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value, step=epoch)
            tf.summary.scalar("learning_rate", float(self.model.optimizer.learning_rate), step=epoch)
        self.writer.flush()

    def on_train_end(self, logs=None):
        """Closes the log."""
        self.writer.close()

    def show_batch(self, inputs, labels):
        """Shows augmented vignettes."""
        self.write_images("augmented vignettes", side_by_side(inputs["image"]), 0, len(labels))

    def write_images(self, name, pictures, step, count=PICTURES):
        """Writes up to `count` pictures under a name."""
        with self.writer.as_default():
            tf.summary.image(name, pictures, step=step, max_outputs=count)


class PatchBoard(Board):
    """Shows augmented patches beside their masks too, and every epoch predictions beside the truth.

    Args:
        folder: The log folder.
        training: The training dataset.
        validation: The validation dataset; its patches with most foreground are shown.
        first_epoch: Number of epochs that an interrupted run has logged already.
    """

    def __init__(self, folder, training, validation, first_epoch=0):
        super().__init__(folder, training, first_epoch)
        self.images, self.masks = _fullest(validation)

    def show_batch(self, inputs, labels):
        """Shows augmented patches beside their masks."""
        self.write_images("augmented patch, mask", side_by_side(inputs[:PICTURES], labels[:PICTURES]), 0)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's scalars and predictions."""
        # Under a MirroredStrategy every replica predicts the whole of a lone batch.
        logits = self.model.predict_on_batch(self.images)[: len(self.images)]
        classes = keras.ops.convert_to_numpy(keras.ops.argmax(logits, axis=-1))
        self.write_images("patch, truth, prediction", side_by_side(self.images, self.masks, classes[..., None]), epoch)
        super().on_epoch_end(epoch, logs)


def _fullest(dataset, batches=16):
    """Takes the patches with most foreground out of the first batches of a dataset."""
    images, masks = zip(*dataset.take(batches).as_numpy_iterator(), strict=True)
    images, masks = np.concatenate(images), np.concatenate(masks)
    chosen = np.argsort((masks > 0).mean(axis=(1, 2, 3)))[::-1][:PICTURES]
    return images[chosen], masks[chosen]
