"""U-Nets whose encoder is a network of keras.applications, so that it can start from what it knows already."""

import keras

from plankton_keras.models.blocks import Whiten, decoder_block, shuffled_logits
from plankton_keras.models.encoders import build_encoder

DECODER_WIDTHS = (16, 24, 40, 80)


def encoder_unet(encoder_name, num_classes, weights="none"):
    """Builds a U-Net around an encoder, for gray patches.

    Args:
        encoder_name: A key of `encoders.ENCODERS`.
        num_classes: Number of classes, class 0 included.
        weights: Where the encoder's weights come from, as for `encoders.build_encoder`.

    Returns:
        A functional `keras.Model`: float32 images `(batch, height, width, 1)`, values 0..255, to float32 logits
        `(batch, height, width, num_classes)`. Its layer `encoder` holds the encoder, its attribute `start` says where
        the encoder's weights come from.

    Raises:
        SettingError: If the weights are not there or do not fit.

    Example:

    >>> encoder_unet("mobilenetv2_035", num_classes=2).output_shape
    (None, None, None, 2)
    """
    encoder, start = build_encoder(encoder_name, weights)
    image = keras.Input((None, None, 1), name="image")
    *skips, x = encoder(Whiten(name="whiten")(image))
    for level, (skip, width) in reversed(list(enumerate(zip(skips, DECODER_WIDTHS, strict=True)))):
        x = decoder_block(x, skip, width, f"up{level}")
    model = keras.Model(image, shuffled_logits(x, num_classes), name=f"{encoder_name}_unet")
    model.start = start
    return model
