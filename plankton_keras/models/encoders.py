"""The encoders: networks of keras.applications without their top, with where their weights come from.

Gray pixels 0..255 go in, as everywhere; what each network wants is done inside.
"""

import logging
from collections import namedtuple
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np
from keras import layers

from plankton_keras.errors import ArtefactError, SettingError
from plankton_keras.models.stored import load_model

log = logging.getLogger(__name__)

# Encoders pretrained on PlanktonSet 1.0 that come with the package, see weights/README.md.
SHIPPED = Path(__file__).parents[1] / "weights"

Encoder = namedtuple("Encoder", "build options file scale skips")
# `file` is the name that keras.applications gives the ImageNet weights. `scale` turns pixels into what the network
# wants: it is multiplied and shifted. The skips are the layers whose outputs a decoder joins, at strides 2, 4, 8, 16,
# and the deepest at 32.
_UNIT = (1 / 127.5, -1.0)
_CAFFE = (1.0, (-103.939, -116.779, -123.68))
_B = ("block2a_expand_activation", "block3a_expand_activation", "block4a_expand_activation")
_EFFICIENTNET = (*_B, "block6a_expand_activation", "top_activation")
_V2 = ("block1a_project_activation", "block2b_expand_activation", "block4a_expand_activation")
_EFFICIENTNET_V2 = (*_V2, "block6a_expand_activation", "top_activation")
_MOBILENET = tuple(f"conv_pw_{block}_relu" for block in (1, 3, 5, 11, 13))
_MOBILENET_V2 = (*(f"block_{block}_expand_relu" for block in (1, 3, 6, 13)), "out_relu")
_RESNET = ("conv1_relu", *(f"conv{stage}_block{last}_out" for stage, last in ((2, 3), (3, 4), (4, 6), (5, 3))))
_KERNELS = "weights_tf_dim_ordering_tf_kernels"


def _mobilenet(alpha, size):
    return Encoder("MobileNet", {"alpha": alpha}, f"mobilenet_{size}_224_tf_no_top.h5", _UNIT, _MOBILENET)


def _mobilenet_v2(alpha):
    file = f"mobilenet_v2_{_KERNELS}_{alpha}_224_no_top.h5"
    return Encoder("MobileNetV2", {"alpha": alpha}, file, _UNIT, _MOBILENET_V2)


def _efficientnet(size):
    return Encoder(f"EfficientNetB{size}", {}, f"efficientnetb{size}_notop.h5", (1.0, 0.0), _EFFICIENTNET)


def _efficientnet_v2(size):
    return Encoder(f"EfficientNetV2B{size}", {}, f"efficientnetv2-b{size}_notop.h5", (1.0, 0.0), _EFFICIENTNET_V2)


ENCODERS = {
    "mobilenet": _mobilenet(1.0, "1_0"),
    "mobilenet_075": _mobilenet(0.75, "7_5"),
    "mobilenetv2": _mobilenet_v2(1.0),
    "mobilenetv2_035": _mobilenet_v2(0.35),
    "resnet50": Encoder("ResNet50", {}, f"resnet50_{_KERNELS}_notop.h5", _CAFFE, _RESNET),
    **{f"efficientnet_b{size}": _efficientnet(size) for size in range(5)},
    **{f"efficientnetv2_b{size}": _efficientnet_v2(size) for size in range(4)},
}


def build_encoder(name, weights="none"):
    """Builds an encoder for gray images of any size.

    The gray input is repeated three times, so that ImageNet weights fit as they are.

    Args:
        name: A key of `ENCODERS`.
        weights: Where the weights come from: `none` at random; `imagenet`; `plankton`, those that come with the
            package; the folder of a run whose encoder this is; the path of a file of keras.applications weights
            without top, or of an encoder that `save_encoder` wrote; or `auto`: the package's own for this encoder,
            else ImageNet where its file is in Keras' cache or can be downloaded, else none.

    Returns:
        `(encoder, start)`: a functional `keras.Model` named `encoder`, float32 images `(batch, height, width, 1)`,
        values 0..255, to the list of feature maps at strides 2, 4, 8, 16 and 32; and where its weights come from.

    Raises:
        SettingError: If the weights are not there or do not fit.

    Example:

    >>> encoder, start = build_encoder("mobilenetv2_035")
    >>> [feature.shape[-1] for feature in encoder.outputs], start
    ([48, 48, 96, 192, 1280], 'random weights')
    """
    body, start = _application(name, weights)
    log.info("%s starts from %s", name, start)
    image = keras.Input((None, None, 1), name="gray")
    rgb = layers.Concatenate(name="gray_to_rgb")([image, image, image])
    factor, offset = ENCODERS[name].scale
    features = body(layers.Rescaling(factor, offset, name="scale")(rgb))
    return keras.Model(image, features, name="encoder"), start


def _application(name, weights):
    """Builds the network of keras.applications; gives it with where its weights come from."""
    entry = ENCODERS[name]
    shipped = SHIPPED / f"{name}_plankton.npz"

    def built(source):
        build = getattr(keras.applications, entry.build)
        # MobileNet warns of every size but 224, for which alone its top would fit.
        whole = build(include_top=False, weights=source, input_shape=(None, None, 3), **entry.options)
        outputs = [whole.get_layer(layer).output for layer in entry.skips]
        return keras.Model(whole.input, outputs, name="body")

    if weights == "none":
        return built(None), "random weights"
    if weights == "plankton" or (weights == "auto" and shipped.is_file()):
        return _from_npz(built(None), name, shipped), f"PlanktonSet weights ({shipped.name})"
    if weights in ("auto", "imagenet"):
        return _from_imagenet(built, name, insist=weights == "imagenet")
    path = Path(weights)
    if (path / "model.keras").is_file():
        return _from_run(built(None), name, path), f"the run {path}"
    if not path.is_file():
        found = "is no run: it has no model.keras" if path.is_dir() else "does not exist"
        raise SettingError(
            f"--weights {path} {found}.", "auto, plankton, imagenet, none, a run, or a file.", _fix(name)
        )
    if path.suffix == ".npz":
        return _from_npz(built(None), name, path), f"the file {path}"
    try:
        return built(str(path)), f"the file {path}"
    except (ValueError, OSError, KeyError) as error:
        raise SettingError(
            f"--weights {path} does not fit {name}: {_first_line(error)}",
            "weights of that network, no top.",
            _fix(name),
        ) from error


def _fix(name):
    """Names the file that would do."""
    return f"give the path of {ENCODERS[name].file} of keras.applications."


def _from_imagenet(built, name, insist):
    """Loads ImageNet's weights from Keras' cache, or downloads them."""
    try:
        return built("imagenet"), "ImageNet weights"
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        if not insist:
            return built(None), f"random weights, since ImageNet's cannot be had ({_first_line(error)})"
        raise SettingError(
            f"--weights imagenet: {_first_line(error)}",
            f"{ENCODERS[name].file} in the folder models of Keras' cache (KERAS_HOME, else ~/.keras), or a network to "
            "fetch it.",
            "put the file there, give its path to --weights, or train with --weights none.",
        ) from error


def _from_npz(model, name, path):
    """Loads what `save_encoder` wrote."""
    try:
        with np.load(path) as stored:
            arrays = [stored[key].astype(np.float32) for key in sorted(stored.files)]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise SettingError(
            f"--weights {path} cannot be read: {_first_line(error)}", "an encoder that plankton wrote.", _fix(name)
        ) from error
    return _with_arrays(model, arrays, name, path)


def _from_run(model, name, folder):
    """Takes the encoder of a run."""
    try:
        arrays = load_model(folder / "model.keras").get_layer("encoder").get_weights()
    except (ArtefactError, ValueError) as error:
        raise SettingError(
            f"--weights {folder} has no encoder: {_first_line(error)}", f"a run of {name} or {name}_unet.", _fix(name)
        ) from error
    return _with_arrays(model, arrays, name, folder)


def _with_arrays(model, arrays, name, path):
    """Gives a network its weights, if they fit."""
    if [array.shape for array in arrays] != [tuple(weight.shape) for weight in model.weights]:
        raise SettingError(f"--weights {path} does not fit {name}.", "weights of that network.", _fix(name))
    model.set_weights(arrays)
    return model


def save_encoder(encoder, path):
    """Writes the weights of an encoder: kernels in float16, all else in float32, since variances need its range.

    Args:
        encoder: What `build_encoder` gave, trained.
        path: The `.npz` file.
    """
    arrays = encoder.get_layer("body").get_weights()
    stored = {
        f"{index:04d}": array.astype(np.float16 if array.ndim > 1 else np.float32) for index, array in enumerate(arrays)
    }
    with open(path, "wb") as file:
        np.savez(file, **stored)


def _first_line(error):
    """Shortens an error of Keras to its first line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
