"""Vignettes to batches. They are small enough to lie in memory: 100,000 of 96 pixels take 0.9 GB."""

import numpy as np
import tensorflow as tf

from plankton_keras.data.augment import augmenter


def training_vignettes(vignettes, stream):
    """Makes the endless stream of augmented training batches.

    Vignettes are drawn with replacement, a class by the root of its share: rare taxa come more often than they occur,
    common ones still lead.

    Args:
        vignettes: `(images, sides, labels)` as `vignette_records.read_vignettes` gives them.
        stream: A `dataset.Stream`; the window is the size of the vignettes.

    Returns:
        A `tf.data.Dataset` of `({"image", "side"}, label)`: float32 `(batch, window, window, 1)`, values 0..255,
        float32 `(batch, 1)` in pixels, int32 `(batch,)`.
    """
    images, sides, labels = (tf.constant(each) for each in vignettes)
    limits = tf.constant(np.cumsum(_chances(vignettes[2])), tf.float32)
    augment = augmenter(stream.augmentation, stream.window, fill=255.0)

    def batch(step):
        seed = (tf.cast(stream.seed, tf.int64), step)
        drawn = tf.random.stateless_uniform((stream.batch_size,), seed=seed, maxval=1.0)
        chosen = tf.minimum(tf.searchsorted(limits, drawn * limits[-1], side="right"), len(vignettes[2]) - 1)
        pixels = tf.gather(images, chosen)
        augmented, _ = augment(pixels, tf.zeros_like(pixels), seed)
        return {"image": augmented, "side": tf.gather(sides, chosen)}, tf.gather(labels, chosen)

    steps = tf.data.Dataset.counter(start=stream.first_step)
    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def evaluation_vignettes(vignettes, batch_size, multiple=1):
    """Makes one pass over vignettes, in order and as they are.

    Args:
        vignettes: As for `training_vignettes`.
        batch_size: Vignettes a batch; the last may have fewer.
        multiple: The first vignettes come again until there are a multiple of so many, for as many devices.

    Returns:
        A `tf.data.Dataset` of `({"image", "side"}, label)`.
    """
    images, sides, labels = vignettes
    count = -(-len(labels) // multiple) * multiple
    dataset = tf.data.Dataset.from_tensor_slices(({"image": images, "side": sides}, labels))
    dataset = dataset.repeat().take(count).batch(batch_size)

    def to_float(inputs, label):
        return {**inputs, "image": tf.cast(inputs["image"], tf.float32)}, label

    return dataset.map(to_float).prefetch(tf.data.AUTOTUNE)


def _chances(labels):
    """Gives each vignette its chance to be drawn."""
    chances = (1 / np.sqrt(np.bincount(labels)[labels])).astype(np.float64)
    return chances / chances.sum()
