"""U-Nets whose encoder is a network of keras.applications, so that it can start from ImageNet."""

import logging
from pathlib import Path

import keras
from keras import layers

from plankton_keras.errors import SettingError
from plankton_keras.models.blocks import conv_block, decoder_block, logits_head

log = logging.getLogger(__name__)

# The layers whose outputs the decoder joins, at strides 2, 4, 8, 16, and the deepest at 32.
EFFICIENTNET_SKIPS = (
    "block2a_expand_activation",
    "block3a_expand_activation",
    "block4a_expand_activation",
    "block6a_expand_activation",
    "top_activation",
)
DECODER_WIDTHS = (16, 24, 40, 80)
FULL_WIDTH = 8


def encoder_unet(encoder_name, num_classes, weights="none"):
    """Builds a U-Net around an EfficientNet encoder, for gray patches.

    The gray input is repeated three times, so that ImageNet weights fit as they are; EfficientNet itself rescales and
    normalises pixels of 0..255.

    Args:
        encoder_name: `efficientnet_b0` to `efficientnet_b4`.
        num_classes: Number of classes, class 0 included.
        weights: Start of the encoder: `none` at random, `imagenet`, the path of a file of keras.applications weights
            without top, or `auto`: ImageNet where its file is in Keras' cache or can be downloaded, else none.

    Returns:
        A functional `keras.Model`: float32 images `(batch, height, width, 1)`, values 0..255, to float32 logits
        `(batch, height, width, num_classes)`. Its layer `encoder` holds the encoder, its attribute `start` says where
        the encoder's weights come from.

    Raises:
        SettingError: If the weights are not there or do not fit.

    Example:

    >>> encoder_unet("efficientnet_b0", num_classes=2).output_shape
    (None, None, None, 2)
    """
    whole, start = _application(encoder_name, weights)
    log.info("%s starts from %s", encoder_name, start)
    # From RGB images to the list of feature maps, finest first.
    encoder = keras.Model(whole.input, [whole.get_layer(name).output for name in EFFICIENTNET_SKIPS], name="encoder")
    image = keras.Input((None, None, 1), name="image")
    rgb = layers.Concatenate(name="gray_to_rgb")([image, image, image])
    *skips, x = encoder(rgb)
    for level, (skip, width) in reversed(list(enumerate(zip(skips, DECODER_WIDTHS, strict=True)))):
        x = decoder_block(x, skip, width, f"up{level}")
    full = conv_block(layers.Rescaling(-1 / 127.5, offset=1.0, name="rescale")(image), FULL_WIDTH, "full")
    x = decoder_block(x, full, FULL_WIDTH, "full_out")
    model = keras.Model(image, logits_head(x, num_classes), name=f"{encoder_name}_unet")
    model.start = start
    return model


def _application(name, weights):
    """Builds the network of keras.applications without top; gives it with where its weights come from."""
    build = getattr(keras.applications, name.replace("efficientnet_b", "EfficientNetB"))
    file_name = name.replace("_", "") + "_notop.h5"

    def built(start):
        return build(include_top=False, weights=start, input_shape=(None, None, 3))

    if weights == "none":
        return built(None), "random weights"
    if weights not in ("auto", "imagenet"):
        return _from_file(built, name, Path(weights), file_name), f"the file {weights}"
    try:
        return built("imagenet"), f"ImageNet weights ({file_name})"
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        if weights == "auto":
            return built(None), f"random weights, since ImageNet's cannot be had ({_first_line(error)})"
        raise SettingError(
            f"--weights imagenet: {_first_line(error)}",
            f"{file_name} in the folder models of Keras' cache (KERAS_HOME, else ~/.keras), or a network to fetch it.",
            "put the file there, give its path to --weights, or train with --weights none.",
        ) from error


def _from_file(built, name, path, file_name):
    """Loads the weights of a file into a fresh encoder."""
    fix = f"give the path of {file_name} of keras.applications."
    if not path.is_file():
        raise SettingError(f"--weights {path} does not exist.", "auto, imagenet, none, or a file.", fix)
    try:
        return built(str(path))
    except (ValueError, OSError, KeyError) as error:
        raise SettingError(
            f"--weights {path} does not fit {name}: {_first_line(error)}", "weights of that network, no top.", fix
        ) from error


def _first_line(error):
    """Shortens an error of Keras to its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
