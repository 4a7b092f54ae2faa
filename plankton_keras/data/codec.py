"""Patches and vignettes to serialised records and back; inside a `tf.data` graph, `parse` and `parse_vignette`."""

import cv2
import numpy as np
import tensorflow as tf

from plankton_keras import schema
from plankton_keras.images import CLASS_PNG, GRAY_PNG
from plankton_keras.patches import Patch
from plankton_keras.tiles import Window

FEATURES = {
    schema.IMAGE: tf.io.FixedLenFeature((), tf.string),
    schema.MASK: tf.io.FixedLenFeature((), tf.string),
    schema.SCAN: tf.io.FixedLenFeature((), tf.string),
    schema.TOP: tf.io.FixedLenFeature((), tf.int64),
    schema.LEFT: tf.io.FixedLenFeature((), tf.int64),
}


VIGNETTE_FEATURES = {
    schema.IMAGE: tf.io.FixedLenFeature((), tf.string),
    schema.LABEL: tf.io.FixedLenFeature((), tf.int64),
    schema.SIDE: tf.io.FixedLenFeature((), tf.int64),
}


def _serialize(fields):
    """Serialises bytes and whole numbers by name."""

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    example = tf.train.Example(features=tf.train.Features(feature={key: feature(fields[key]) for key in fields}))
    return example.SerializeToString(deterministic=True)


def _png(pixels, how=GRAY_PNG):
    """Encodes gray levels, or class indices."""
    return cv2.imencode(".png", pixels, how)[1].tobytes()


def encode(patch):
    """Encodes a patch as a serialised `tf.train.Example`.

    Args:
        patch: A `patches.Patch`.

    Returns:
        Bytes; tfrecords/README.md lists the fields.

    Example:

    >>> patch = Patch("a", Window(3, 4, 64, 64), np.full((64, 64), 220, np.uint8), np.eye(64, dtype=np.uint8))
    >>> again = decode(encode(patch))
    >>> again.window == patch.window, bool((again.mask == patch.mask).all())
    (True, True)
    """
    return _serialize(
        {
            schema.IMAGE: _png(patch.image),
            schema.MASK: _png(patch.mask, CLASS_PNG),
            schema.SCAN: patch.scan.encode(),
            schema.TOP: patch.window.top,
            schema.LEFT: patch.window.left,
        }
    )


def encode_vignette(pixels, label, side, source):
    """Encodes a vignette as a serialised `tf.train.Example`.

    Args:
        pixels: uint8 `(size, size)`, as `vignettes.squared` gives it.
        label: Class index.
        side: Longer side of the object in pixels.
        source: Name of its file or scan.

    Returns:
        Bytes; tfrecords/README.md lists the fields.
    """
    return _serialize(
        {schema.IMAGE: _png(pixels), schema.LABEL: label, schema.SIDE: side, schema.SCAN: source.encode()}
    )


def decode(record):
    """Decodes what `encode` gave.

    Args:
        record: Bytes.

    Returns:
        A `patches.Patch`.
    """
    fields = tf.train.Example.FromString(record).features.feature

    def picture(name):
        return cv2.imdecode(np.frombuffer(fields[name].bytes_list.value[0], np.uint8), cv2.IMREAD_GRAYSCALE)

    image, mask = picture(schema.IMAGE), picture(schema.MASK)
    top, left = (fields[name].int64_list.value[0] for name in (schema.TOP, schema.LEFT))
    return Patch(fields[schema.SCAN].bytes_list.value[0].decode(), Window(top, left, *image.shape), image, mask)


def parse(record, size):
    """Parses a record inside a `tf.data` graph.

    Args:
        record: Scalar string tensor.
        size: Side of the patch in pixels.

    Returns:
        `(image, mask)`: uint8 `(size, size, 1)`, gray levels and class indices.
    """
    fields = tf.io.parse_single_example(record, FEATURES)
    image = tf.ensure_shape(tf.io.decode_png(fields[schema.IMAGE], channels=1), (size, size, 1))
    mask = tf.ensure_shape(tf.io.decode_png(fields[schema.MASK], channels=1), (size, size, 1))
    return image, mask


def parse_vignette(record, size):
    """Parses a record of a vignette inside a `tf.data` graph.

    Args:
        record: Scalar string tensor.
        size: Side of the vignette in pixels.

    Returns:
        `(image, side, label)`: uint8 `(size, size, 1)`, int64 pixels, int64 class index.
    """
    fields = tf.io.parse_single_example(record, VIGNETTE_FEATURES)
    image = tf.ensure_shape(tf.io.decode_png(fields[schema.IMAGE], channels=1), (size, size, 1))
    return image, fields[schema.SIDE], fields[schema.LABEL]
