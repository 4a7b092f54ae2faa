"""Patches and vignettes to serialised records and back; inside a `tf.data` graph, `parse` and `parse_vignettes`."""

import struct

import cv2
import imagecodecs
import numpy as np
import tensorflow as tf

from plankton_keras import schema
from plankton_keras.image_claims import PNG
from plankton_keras.images import CLASS_PNG, GRAY_PNG
from plankton_keras.patches import Patch
from plankton_keras.tiles import Window

# Depth, colour, compression, filter and interlacing in a PNG file's header: gray levels of 8 bits, row by row.
GRAY_8 = bytes((8, 0, 0, 0, 0))

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


def _pixels(png):
    """Decodes a PNG file to gray levels or class indices.

    Training spends more on this than on all augmentation. A file as `_png` writes it, gray of 8 bits in rows without
    filters, is its pixels deflated, which imagecodecs inflates in half the time that libpng takes.
    """
    if png[24:29] == GRAY_8:
        width, height = struct.unpack_from(">II", png, 16)
        # Before each row stands the number of its filter.
        size = height * (1 + width)
        rows = np.frombuffer(imagecodecs.deflate_decode(_deflated(png), out=size), np.uint8).reshape(height, -1)
        if not rows[:, 0].any():
            return rows[:, 1:]
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)


def _deflated(png):
    """Joins what the chunks of pixels of a PNG file hold."""
    parts, place = [], len(PNG)
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        if kind == b"IDAT":
            parts.append(png[place + 8 : place + 8 + length])
        place += length + 12
    return b"".join(parts)


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
        return _pixels(fields[name].bytes_list.value[0])

    image, mask = picture(schema.IMAGE), picture(schema.MASK)
    top, left = (fields[name].int64_list.value[0] for name in (schema.TOP, schema.LEFT))
    return Patch(fields[schema.SCAN].bytes_list.value[0].decode(), Window(top, left, *image.shape), image, mask)


def parse(records, size):
    """Parses a batch of records inside a `tf.data` graph.

    Args:
        records: String tensor `(batch,)`.
        size: Side of the patches in pixels.

    Returns:
        `(images, masks)`: uint8 `(batch, size, size, 1)`, gray levels and class indices.
    """
    fields = tf.io.parse_example(records, FEATURES)
    return tuple(_decoded(fields[name], size) for name in (schema.IMAGE, schema.MASK))


def parse_vignettes(records, size):
    """Parses a batch of records of vignettes inside a `tf.data` graph.

    Args:
        records: String tensor `(batch,)`.
        size: Side of the vignettes in pixels.

    Returns:
        `(images, sides, labels)`: uint8 `(batch, size, size, 1)`, int64 `(batch,)` pixels, int64 class indices.
    """
    fields = tf.io.parse_example(records, VIGNETTE_FEATURES)
    return _decoded(fields[schema.IMAGE], size), fields[schema.SIDE], fields[schema.LABEL]


def _decoded(files, size):
    """Decodes a batch of PNG files inside a `tf.data` graph."""
    # Not stateful: else `tf.data` would decode one batch after the other.
    images = tf.numpy_function(
        lambda files: np.stack([_pixels(file) for file in files])[..., None], (files,), tf.uint8, stateful=False
    )
    return tf.ensure_shape(images, (files.shape[0], size, size, 1))
