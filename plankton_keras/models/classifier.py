"""The vignette classifier: an encoder, the features of its last stages averaged over the vignette, one linear layer."""

import keras
from keras import layers, ops

from plankton_keras.models.encoders import build_encoder

DROPOUT = 0.2
# The last stages whose features count: texture, which tells detritus from animals, is gone from the deepest.
STAGES = 3


@keras.saving.register_keras_serializable("plankton_keras")
class LogSize(layers.Layer):
    """Turns the side of an object in pixels into a feature about 0: its binary logarithm, less that of 64 pixels."""

    def call(self, side):
        """Gives `(batch, 1)`, 0 for 64 pixels and 1 for 128."""
        return ops.log2(ops.maximum(ops.cast(side, "float32"), 1.0)) - 6.0


def classifier(encoder_name, num_classes, weights="none"):
    """Builds a classifier of vignettes.

    Scale tells taxa apart, but a vignette of fixed size has lost it: the object's side goes in beside the picture.

    Args:
        encoder_name: A key of `encoders.ENCODERS`.
        num_classes: Number of classes.
        weights: Where the encoder's weights come from, as for `encoders.build_encoder`.

    Returns:
        A functional `keras.Model` of a dictionary of `image`, float32 `(batch, size, size, 1)`, values 0..255 with the
        ground at 255, and `side`, `(batch, 1)`, the longer side of the object in pixels, to float32 logits
        `(batch, num_classes)`. Its attribute `start` says where the encoder's weights come from.

    Example:

    >>> classifier("mobilenetv2_035", num_classes=121).output_shape
    (None, 121)
    """
    encoder, start = build_encoder(encoder_name, weights)
    image, side = keras.Input((None, None, 1), name="image"), keras.Input((1,), name="side")
    maps = encoder(image)[-STAGES:]
    means = [layers.GlobalAveragePooling2D(name=f"mean{index}")(feature) for index, feature in enumerate(maps)]
    features = layers.Concatenate(name="features")([*means, LogSize(name="log_size")(side)])
    x = layers.Dropout(DROPOUT, name="dropout")(features)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    model = keras.Model({"image": image, "side": side}, logits, name=encoder_name)
    model.start = start
    return model
