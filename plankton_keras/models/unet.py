"""U-Net, cheap enough for two CPU cores: it works at half resolution and draws the edges by sub-pixel convolution."""

import keras
from keras import layers

from plankton_keras.models.blocks import Whiten, conv_block, decoder_block, logits_head, shuffled_logits


def unet(num_classes, width=16, depth=5, full_resolution=False):
    """Builds a U-Net for gray patches of any size that is a multiple of its stride.

    Ronneberger et al. 2015 (arXiv 1505.04597) with padded convolutions and batch normalisation. By default the first
    convolution halves the resolution and the last one gives four logits a class, which are laid out as 2 x 2 pixels:
    many times as fast as `full_resolution=True` at nearly the same score (docs/experiments.md).

    Args:
        num_classes: Number of classes, class 0 included.
        width: Channels of the first level; each deeper level doubles them, up to `16 * width`.
        depth: Number of levels; the model's stride is `2 ** (depth - 1)`, twice that with the half-resolution body.
        full_resolution: Whether all levels of the textbook U-Net start at full resolution.

    Returns:
        A functional `keras.Model`: float32 images `(batch, height, width, 1)`, values 0..255, to float32 logits
        `(batch, height, width, num_classes)`.

    Example:

    >>> unet(num_classes=2, width=4, depth=3).output_shape
    (None, None, None, 2)
    """
    image = keras.Input((None, None, 1), name="image")
    x = layers.Rescaling(-1 / 127.5, offset=2.0, name="rescale")(Whiten(name="whiten")(image))
    skips = []
    for level in range(depth):
        if level:
            skips.append(x)
            x = layers.MaxPooling2D(name=f"down{level}_pool")(x)
        channels = width * min(2**level, 16)
        x = conv_block(x, channels, f"down{level}_1", strides=1 if level or full_resolution else 2)
        x = conv_block(x, channels, f"down{level}_2")
    for level, skip in reversed(list(enumerate(skips))):
        x = decoder_block(x, skip, width * min(2**level, 16), f"up{level}")
    head = logits_head if full_resolution else shuffled_logits
    return keras.Model(image, head(x, num_classes), name="unet")
