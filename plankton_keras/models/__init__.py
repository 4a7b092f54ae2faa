"""The networks, as functional Keras models: gray pixels 0..255 in, float32 logits out."""

import keras

from plankton_keras.models.classifier import classifier
from plankton_keras.models.encoder_unet import encoder_unet
from plankton_keras.models.unet import unet


def build_model(config, num_classes):
    """Builds the network that a config names.

    Args:
        config: A `config.TrainConfig`.
        num_classes: Number of classes, class 0 included.

    Returns:
        A functional `keras.Model`. Of patches, float32 images `(batch, height, width, 1)`, values 0..255, to float32
        logits `(batch, height, width, num_classes)`; height and width are multiples of `config.STRIDE`. Of vignettes,
        what `classifier.classifier` says.

    Raises:
        SettingError: If the weights do not fit.

    Example:

    >>> from plankton_keras.config import TrainConfig
    >>> build_model(TrainConfig(model="unet", width=4, depth=3), num_classes=2).name
    'unet'
    """
    if config.model == "unet":
        return unet(num_classes, width=config.width, depth=config.depth, full_resolution=config.full_resolution)
    if config.model.endswith("_unet"):
        return encoder_unet(config.model.removesuffix("_unet"), num_classes, weights=config.weights)
    return classifier(config.model, num_classes, weights=config.weights)


def tempered(model, temperature):
    """Divides the logits of a network, so that its probabilities are what they say (Guo et al. 2017, arXiv 1706.04599).

    Args:
        model: A `keras.Model` as `build_model` gives it.
        temperature: The divisor, above 0; above 1 the network is less sure.

    Returns:
        A `keras.Model` of the same inputs and weights.

    Example:

    >>> import numpy as np
    >>> logits = keras.Input((2,))
    >>> model = keras.Model(logits, keras.layers.Identity()(logits))
    >>> keras.ops.convert_to_numpy(tempered(model, 4.0)(np.array([[2.0, -8.0]]))).tolist()
    [[0.5, -2.0]]
    """
    return keras.Model(model.input, model.output / temperature)
