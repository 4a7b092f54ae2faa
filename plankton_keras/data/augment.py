"""Augmentation of training batches: image and mask move in one resampling, then the image alone changes its looks.

The only file that knows KerasCV. The layers are KerasCV's own kind, but draw from a seed that comes with the batch
instead of a stateful generator, so that batches can be made in parallel and a resumed run sees the very same ones.
"""

import functools
from dataclasses import dataclass

import cv2
import keras_cv
import numpy as np
import tensorflow as tf

# Normal numbers drawn once, from which the noise of every image is a run.
NORMALS = 2**22
LEVELS = np.arange(256, dtype=np.float32)
# The line of a 5x5 blur.
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16


@dataclass(frozen=True)
class Strength:
    """How far each draw may go.

    Attributes:
        flips: Whether to flip and to turn by quarters.
        degrees: Largest free rotation to either side.
        zoom: Largest relative change of scale.
        shear: Largest shear, as a tangent.
        brightness: Largest shift in gray levels.
        contrast: Largest relative change of contrast about the image's mean.
        blur: Largest share of a 5x5 Gaussian blur.
        noise: Largest standard deviation of the noise in gray levels.
    """

    flips: bool = False
    degrees: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


STRENGTHS = {
    "none": Strength(),
    "light": Strength(flips=True, degrees=15, zoom=0.1, brightness=10, contrast=0.1),
    "strong": Strength(flips=True, degrees=180, zoom=0.3, shear=0.1, brightness=20, contrast=0.25, blur=0.6, noise=4.0),
}


def _uniform(seed, salt, shape, low, high):
    """Draws uniformly from a seed of two numbers; each salt is a stream of its own."""
    return tf.random.stateless_uniform(shape, seed=tf.random.fold_in(seed, salt), minval=low, maxval=high)


class _SeededLayer(keras_cv.layers.VectorizedBaseImageAugmentationLayer):
    """A KerasCV layer whose `labels` are the seed of the batch, two integers an image, handed on unchanged."""

    def __init__(self, strength, **kwargs):
        # KerasCV's own generator stays unused; without a seed it would ask for a global one.
        super().__init__(seed=1, **kwargs)
        self.strength = strength

    def augment_labels(self, labels, transformations, **kwargs):
        return labels

    def _ensure_inputs_are_compute_dtype(self, inputs):
        # KerasCV would make floats of patches and masks before they are cut, of which most pixels are dropped.
        return inputs


class RandomGeometry(_SeededLayer):
    """Cuts a window around something dark and flips, turns, zooms and shears it, in one resampling.

    Most of a scan is bare ground. Windows are therefore centred near dark places, whether living or not: the label does
    not enter. Beyond a patch's edge both image and mask are mirrored, so that nothing is erased in one and kept in the
    other.

    Args:
        strength: A `Strength`.
        window: Side of the window in pixels.
        fill: What lies beyond the edge in place of the mirrored patch, or None.

    Call arguments:
        inputs: Dictionary of `images` uint8 `(batch, size, size, 1)`, gray levels, `segmentation_masks` uint8 of the
            same shape and `labels` int32 `(batch, 2)`, the seed.
    """

    def __init__(self, strength, window, fill=None, **kwargs):
        super().__init__(strength, **kwargs)
        self.window, self.fill = window, fill

    def get_random_transformation_batch(self, batch_size, images=None, labels=None, **kwargs):
        """Draws the six parameters of the map from window to patch: `(batch, 6)`."""
        seed, strength = tf.cast(labels[0], tf.int32), self.strength
        one = (batch_size,)
        angle = _uniform(seed, 0, one, -strength.degrees, strength.degrees) * (3.14159265 / 180)
        flip = tf.ones(one)
        if strength.flips:
            angle += tf.floor(_uniform(seed, 1, one, 0.0, 4.0)) * (3.14159265 / 2)
            flip = tf.sign(_uniform(seed, 2, one, -1.0, 1.0))
        scale = tf.exp(_uniform(seed, 3, one, -strength.zoom, strength.zoom))
        shear = _uniform(seed, 4, one, -strength.shear, strength.shear)
        cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
        a, b, c, d = cos * flip, cos * shear - sin, sin * flip, sin * shear + cos
        row, column = self._centers(images, seed)
        middle = (self.window - 1) / 2
        left, top = column - (a + b) * middle, row - (c + d) * middle
        return tf.stack([a, b, left, c, d, top], axis=1)

    def _centers(self, images, seed):
        """Chooses the centre of each window in pixels of the patch: rows and columns, `(batch,)` each."""
        size, window = images.shape[1], self.window
        if size <= window:
            middle = tf.fill((tf.shape(images)[0],), (size - 1) / 2)
            return middle, middle
        cells = 16
        step = size // cells
        # Every fourth row and column tells as much of a cell; the side of a patch is a multiple of 64.
        some = tf.cast(images[:, 2::4, 2::4], tf.float32)
        small = tf.nn.avg_pool2d(some, step // 4, step // 4, "VALID")[..., 0]
        darkness = tf.nn.relu(tf.reduce_mean(some, axis=(1, 2))[:, None] - small - 4.0)
        logits = tf.math.log(tf.reshape(darkness, (-1, cells * cells)) + 0.02)
        noise = -tf.math.log(-tf.math.log(_uniform(seed, 5, tf.shape(logits), 1e-6, 1.0)))
        chosen = tf.argmax(logits + noise, axis=1, output_type=tf.int32)
        cell = tf.stack([chosen // cells, chosen % cells])
        jitter = _uniform(seed, 6, tf.shape(cell), -window / 3, window / 3)
        center = (tf.cast(cell, tf.float32) + 0.5) * step + jitter
        center = tf.clip_by_value(center, (window - 1) / 2, size - 1 - (window - 1) / 2)
        return center[0], center[1]

    def _resample(self, images, transformations, interpolation):
        # OpenCV's resampling is twice as fast as TensorFlow's, and lets other threads run meanwhile.
        warped = tf.numpy_function(
            lambda *arrays: _warp(*arrays, self.window, interpolation, self.fill),
            (images, transformations),
            images.dtype,
            # Else `tf.data` would make one batch after the other, for fear of another order.
            stateful=False,
        )
        return tf.ensure_shape(warped, (images.shape[0], self.window, self.window, 1))

    def augment_images(self, images, transformations, **kwargs):
        """Resamples bilinearly."""
        return self._resample(images, transformations, cv2.INTER_LINEAR)

    def augment_segmentation_masks(self, segmentation_masks, transformations, **kwargs):
        """Resamples by nearest neighbour, so that no new value appears."""
        return self._resample(segmentation_masks, transformations, cv2.INTER_NEAREST)


def _warp(images, transformations, window, interpolation, fill):
    """Resamples each image by its own map.

    Args:
        images: uint8 `(batch, size, size, 1)`.
        transformations: float32 `(batch, 6)`: the map from a pixel `(x, y)` of the window to one of the image.
        window: Side of the window in pixels.
        interpolation: OpenCV's number of it.
        fill: As for `RandomGeometry`.

    Returns:
        `(batch, window, window, 1)` of the same type.
    """
    border = {"borderMode": cv2.BORDER_REFLECT} if fill is None else {"borderValue": fill}
    warped = np.empty((len(images), window, window, 1), images.dtype)
    for image, matrix, out in zip(images, transformations.reshape(-1, 2, 3), warped, strict=True):
        cv2.warpAffine(image, matrix, (window, window), out, interpolation | cv2.WARP_INVERSE_MAP, **border)
    return warped


class RandomPhotometry(_SeededLayer):
    """Changes contrast, brightness, sharpness and noise of the image; the mask stays as it is.

    Args:
        strength: A `Strength`.
        fill: Gray level of a ground that keeps it, or None.

    Call arguments:
        inputs: As for `RandomGeometry`.
    """

    def __init__(self, strength, fill=None, **kwargs):
        super().__init__(strength, **kwargs)
        self.fill = fill

    def get_random_transformation_batch(self, batch_size, images=None, labels=None, **kwargs):
        """Draws contrast, brightness, share of blur, standard deviation and start of noise: `(batch, 5)`."""
        seed, strength, one = tf.cast(labels[0], tf.int32), self.strength, (batch_size,)
        brightness = strength.brightness if self.fill is None else 0.0
        draws = (
            _uniform(seed, 11, one, 1 - strength.contrast, 1 + strength.contrast),
            _uniform(seed, 12, one, -brightness, brightness),
            _uniform(seed, 10, one, 0.0, strength.blur),
            _uniform(seed, 13, one, 0.0, strength.noise),
            _uniform(seed, 14, one, 0.0, 1.0),
        )
        return tf.stack(draws, axis=1)

    def augment_images(self, images, transformations, **kwargs):
        """Gives float32 images, values 0..255."""
        changed = tf.numpy_function(
            lambda *arrays: _relight(*arrays, self.fill), (images, transformations), tf.float32, stateful=False
        )
        return tf.ensure_shape(changed, images.shape)

    def augment_segmentation_masks(self, segmentation_masks, transformations, **kwargs):
        """Gives the masks back."""
        return segmentation_masks


def _relight(images, draws, fill):
    """Changes the looks of each image by its own draws.

    Args:
        images: uint8 `(batch, height, width, 1)`.
        draws: float32 `(batch, 5)`, as `RandomPhotometry` draws them.
        fill: As for `RandomPhotometry`.

    Returns:
        float32 `(batch, height, width, 1)`, values 0..255.
    """
    changed = np.empty(images.shape, np.float32)
    for image, (contrast, brightness, blur, noise, start), out in zip(images, draws, changed[..., 0], strict=True):
        mean = cv2.mean(image)[0] if fill is None else fill
        # Contrast and brightness are a table of 256 levels; blur comes after, which is the same before clipping.
        cv2.LUT(image[..., 0], (LEVELS - mean) * contrast + (mean + brightness), out)
        if blur:
            blurred = cv2.sepFilter2D(out, -1, BINOMIAL, BINOMIAL)
            cv2.addWeighted(out, 1 - float(blur), blurred, float(blur), 0, out)
        if noise:
            cv2.scaleAdd(_noise(start, out.shape), float(noise), out, out)
        np.clip(out, 0, 255, out=out)
    return changed


@functools.cache
def _normals():
    """Draws what all noise is taken from: drawing it anew for each image would take as long as all else together."""
    return np.random.default_rng(0).standard_normal(NORMALS, np.float32)


def _noise(start, shape):
    """Takes normal noise of a shape; where it begins, 0..1, comes from the seed."""
    size = int(np.prod(shape))
    place = int(start * max(NORMALS - size, 1))
    return np.resize(_normals()[place : place + size], shape)


def augmenter(strength_name, window, fill=None):
    """Makes the function that augments a batch.

    Args:
        strength_name: A key of `STRENGTHS`.
        window: Side of the training window in pixels.
        fill: Gray level of the ground, which is kept, and lies beyond the edge; or None to mirror the image there.

    Returns:
        A function of `(images, masks, seed)`: uint8 images `(batch, size, size, 1)`, gray levels, uint8 masks of the
        same shape, and two integers, to `(images, masks)` of the window's size, the images in float32. The same seed
        gives the same batch.

    Example:

    >>> augment = augmenter("strong", window=64)
    >>> patches = tf.fill((2, 128, 128, 1), tf.constant(220, tf.uint8))
    >>> images, masks = augment(patches, tf.zeros_like(patches), (0, 1))
    >>> images.shape, masks.dtype
    (TensorShape([2, 64, 64, 1]), tf.uint8)
    """
    strength = STRENGTHS[strength_name]
    # Half precision, which the global policy may ask of layers, would spoil pixels and coordinates.
    layers = [
        RandomGeometry(strength, window, fill, dtype="float32"),
        RandomPhotometry(strength, fill, dtype="float32"),
    ]

    def augment(images, masks, seed):
        seeds = tf.tile(tf.cast(tf.stack(seed), tf.int32)[None], (tf.shape(images)[0], 1))
        batch = {"images": images, "segmentation_masks": masks, "labels": seeds}
        for layer in layers:
            batch = layer(batch)
        return batch["images"], batch["segmentation_masks"]

    return augment
