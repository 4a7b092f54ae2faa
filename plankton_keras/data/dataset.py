"""Shards to batches: interleave, shuffle, parse, batch, augment, prefetch.

A training dataset is one endless stream that can start at any step: a resumed run sees the batches that an undisturbed
one would.
"""

from dataclasses import dataclass

import tensorflow as tf

from plankton_keras.data.augment import augmenter
from plankton_keras.data.codec import parse
from plankton_keras.data.records import check_shards

# Records shuffled together: a shard holds a few hundred, so that this many mix several shards in some 50 MB.
BLOCK = 512


@dataclass(frozen=True)
class Stream:
    """Where a training stream starts and what it is made of.

    Attributes:
        batch_size: Patches a batch.
        window: Side of the training window in pixels.
        augmentation: A key of `augment.STRENGTHS`.
        seed: Decides order and augmentation.
        first_step: Number of batches to leave out at the start.
    """

    batch_size: int
    window: int
    augmentation: str
    seed: int
    first_step: int = 0


def training_dataset(folder, manifest, stream):
    """Makes the endless stream of augmented training batches.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        stream: A `Stream`.

    Returns:
        A `tf.data.Dataset` of `(images, masks)`: float32 `(batch, window, window, 1)`, values 0..255, and uint8 class
        indices of the same shape. Each pass over the records has an order of its own. Let go of its iterators before
        Python ends, or that may wait forever for a thread which makes a batch and waits for Python.
    """
    files = [str(path) for path in check_shards(folder, manifest, "train")]
    patches, size = manifest.count("train"), manifest.patch_size
    first = stream.first_step * stream.batch_size

    # `Dataset.shuffle` takes no seed that changes from pass to pass, so blocks are shuffled statelessly.
    def one_pass(number):
        seed = tf.stack([tf.constant(stream.seed, tf.int64), number])
        order = tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(tf.constant(files), seed))
        # Reading is cheap beside decoding, so one thread interleaves, and always in the same order.
        records = order.interleave(tf.data.TFRecordDataset, cycle_length=4, block_length=4)
        return records.batch(BLOCK).enumerate().flat_map(lambda index, block: shuffled(block, seed, index))

    def shuffled(block, seed, index):
        keys = tf.random.fold_in(seed, index)
        return tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(block, keys))

    augment = augmenter(stream.augmentation, stream.window)
    return (
        tf.data.Dataset.counter(start=first // patches)
        .flat_map(one_pass)
        .skip(first % patches)
        .batch(stream.batch_size, drop_remainder=True)
        .enumerate(start=stream.first_step)
        .map(
            lambda step, batch: augment(*parse(batch, size), (tf.cast(stream.seed, tf.int64), step)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_dataset(folder, manifest, split, batch_size, multiple=1):
    """Makes one pass over a split, in order and as it is.

    Args:
        folder: The records folder.
        manifest: Its manifest.
        split: Name of the split.
        batch_size: Patches a batch; the last may have fewer.
        multiple: The first patches come again until there are a multiple of so many, for as many devices.

    Returns:
        A `tf.data.Dataset` of `(images, masks)` as in `training_dataset`, with the size of the patches.
    """
    files = [str(path) for path in check_shards(folder, manifest, split)]
    count = -(-manifest.count(split) // multiple) * multiple
    return (
        tf.data.TFRecordDataset(files)
        .repeat()
        .take(count)
        .batch(batch_size)
        .map(lambda batch: parse(batch, manifest.patch_size), num_parallel_calls=tf.data.AUTOTUNE)
        .map(lambda images, masks: (tf.cast(images, tf.float32), masks))
        # Records have no count of their own; without it Keras takes the end for an interruption.
        .apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))
        .prefetch(tf.data.AUTOTUNE)
    )


def own_rows(dataset, process, processes):
    """Keeps of each batch the rows that one of several processes hands to its devices.

    All processes make the same batches, since these depend on seed and step only; their rows in turn are the batch.

    Args:
        dataset: A `tf.data.Dataset` of batches that can be dealt out equally.
        process: Number of the process, from 0.
        processes: Number of processes.

    Returns:
        A `tf.data.Dataset` of the same structure.
    """
    if processes == 1:
        return dataset

    def own(*batch):
        return tf.nest.map_structure(lambda rows: tf.split(rows, processes)[process], batch)

    return dataset.map(own).prefetch(tf.data.AUTOTUNE)
