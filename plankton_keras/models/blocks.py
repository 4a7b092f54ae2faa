"""The building blocks that every segmentation network here shares.

Pure Keras, channels last. Blocks take and return symbolic tensors of shape `(batch, height, width, channels)`.
"""

import keras
from keras import layers, ops

# The local ground is looked for on cells of this many pixels, over this many cells in each direction.
CELL = 8
REACH = 49
# Cells darker than a share of the mean around them are objects, not ground; looked for twice, the second time closer.
SHARES = (0.93, 0.97)


@keras.saving.register_keras_serializable("plankton_keras")
class Whiten(layers.Layer):
    """Divides an image by its local ground, so that scans of any ground level look alike: the ground becomes 255.

    The local ground of a cell of 8 pixels is the mean over the 49 x 49 cells around it, without those that are much
    darker. Vignettes have their ground at 255 already, so that an encoder pretrained on them finds what it knows.

    Call arguments:
        images: float32 `(batch, height, width, 1)`, values 0..255; height and width are multiples of 8.

    Example:

    >>> import numpy as np
    >>> image = np.full((1, 64, 64, 1), 200.0, np.float32)
    >>> image[0, :8, :8] = 100.0
    >>> whitened = ops.convert_to_numpy(Whiten()(image))
    >>> float(whitened[0, 0, 0, 0]), float(whitened[0, 63, 63, 0])
    (127.5, 255.0)
    """

    def __init__(self, **kwargs):
        # Half precision would round gray levels.
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, images):
        """Gives float32 of the same shape, values 0..255 except for glare, which may be up to 512."""
        cells = ops.average_pool(images, CELL, CELL, padding="valid")
        ground = _mean_around(cells)
        for share in SHARES:
            bright = ops.cast(cells >= share * ground, "float32")
            ground = _mean_around(cells * bright) / ops.maximum(_mean_around(bright), 1e-6)
        ground = ops.repeat(ops.repeat(ground, CELL, axis=1), CELL, axis=2)
        return ops.minimum(255.0 * images / ops.maximum(ground, 1.0), 512.0)

    def compute_output_shape(self, input_shape):
        """Says what JAX cannot infer of a free size: that eight times an eighth is the whole."""
        return input_shape


def _mean_around(cells):
    """Averages over the cells around each, those beyond the edge left out."""
    for window in ((REACH, 1), (1, REACH)):
        cells = ops.average_pool(cells, window, 1, padding="same")
    return cells


def conv_block(x, width, name, strides=1):
    """Convolves 3x3, normalises over the batch and applies ReLU.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        width: Number of output channels.
        name: Prefix of the layers' names.
        strides: 2 halves height and width.

    Returns:
        Tensor `(batch, height / strides, width / strides, width)`, values at least 0.

    Example:

    >>> import keras
    >>> conv_block(keras.Input((64, 64, 1)), 8, "stem", strides=2).shape
    (None, 32, 32, 8)
    """
    x = layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False, name=f"{name}_conv")(x)
    # Keras' momentum of 0.99 lags behind the weights of runs that have only a thousand steps.
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def decoder_block(x, skip, width, name):
    """Narrows, doubles the resolution, joins the encoder's feature map of that size and convolves.

    Narrowing before the join, where pixels are few, and one convolution instead of two make the decoder three times as
    cheap. Upsampling is by nearest neighbour: a free-size model with bilinear `UpSampling2D` cannot be exported.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        skip: Tensor `(batch, 2 * height, 2 * width, any)` of the encoder.
        width: Number of output channels.
        name: Prefix of the layers' names.

    Returns:
        Tensor `(batch, 2 * height, 2 * width, width)`.

    Example:

    >>> import keras
    >>> decoder_block(keras.Input((32, 32, 8)), keras.Input((64, 64, 4)), 6, "up").shape
    (None, 64, 64, 6)
    """
    x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_narrow")(x)
    x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_up")(x)
    x = layers.Concatenate(name=f"{name}_join")([x, skip])
    return conv_block(x, width, name)


def logits_head(x, num_classes):
    """Gives each pixel one float32 logit a class, whatever the precision of the body.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        num_classes: Number of classes, class 0 included.

    Returns:
        float32 tensor `(batch, height, width, num_classes)`.

    Example:

    >>> import keras
    >>> logits_head(keras.Input((64, 64, 8), dtype="float16"), 2).dtype
    'float32'
    """
    return layers.Conv2D(num_classes, 1, dtype="float32", name="logits")(x)


@keras.saving.register_keras_serializable("plankton_keras")
class PixelShuffle(layers.Layer):
    """Doubles height and width by laying out four channels as 2 x 2 pixels.

    Shi et al. 2016 (arXiv 1609.05158). The finest features stay at half resolution: cheaper than any block at full one.

    Call arguments:
        x: Tensor `(batch, height, width, 4 * channels)`.

    Example:

    >>> import numpy as np
    >>> PixelShuffle()(np.array([[[[1.0, 2.0, 3.0, 4.0]]]])).shape
    TensorShape([1, 2, 2, 1])
    """

    def call(self, x):
        """Gives `(batch, 2 * height, 2 * width, channels)`."""
        return ops.depth_to_space(x, 2)


def shuffled_logits(x, num_classes):
    """Gives each pixel one float32 logit a class from features at half resolution.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        num_classes: Number of classes, class 0 included.

    Returns:
        float32 tensor `(batch, 2 * height, 2 * width, num_classes)`.

    Example:

    >>> import keras
    >>> shuffled_logits(keras.Input((32, 32, 8)), 2).shape
    (None, 64, 64, 2)
    """
    x = layers.Conv2D(4 * num_classes, 3, padding="same", dtype="float32", name="logits")(x)
    return PixelShuffle(dtype="float32", name="shuffle")(x)
