"""The building blocks that every segmentation network here shares.

Pure Keras, channels last. Blocks take and return symbolic tensors of shape `(batch, height, width, channels)`.
"""

from keras import layers


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
