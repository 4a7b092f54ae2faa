"""models: any size, float32 logits, the same after saving; encoders that start where they say."""

import logging

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from plankton_keras.config import TrainConfig
from plankton_keras.errors import SettingError
from plankton_keras.losses import SegmentationLoss
from plankton_keras.models import build_model
from plankton_keras.models.encoder_unet import encoder_unet
from plankton_keras.models.stored import load_model
from plankton_keras.models.unet import unet

CONFIGS = {
    "unet": TrainConfig(model="unet", width=4, depth=3),
    "unet_full": TrainConfig(model="unet", width=4, depth=3, full_resolution=True),
    "unet_deepest": TrainConfig(model="unet", width=4, depth=6),
    "efficientnet_b0_unet": TrainConfig(model="efficientnet_b0_unet", weights="none"),
}


@pytest.fixture(scope="module")
def models():
    """One model of each kind, built once, with two classes."""
    keras.utils.set_random_seed(0)
    return {name: build_model(config, num_classes=2) for name, config in CONFIGS.items()}


def images(height=64, width=64, count=1, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, height, width, 1)).astype(np.float32)


def answer(model, batch):
    return keras.ops.convert_to_numpy(model(batch, training=False))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192), (320, 64)])
def test_each_pixel_gets_a_logit_a_class_at_any_multiple_of_64(models, name, height, width):
    logits = answer(models[name], images(height, width))
    assert logits.shape == (1, height, width, 2)
    assert np.isfinite(logits).all()
    assert logits.std() > 0


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize(
    "build", [lambda classes: unet(classes, 4, 2), lambda classes: encoder_unet("efficientnet_b0", classes)]
)
def test_the_number_of_classes_is_that_asked_for(build, num_classes):
    assert build(num_classes).output_shape[-1] == num_classes


@pytest.mark.parametrize("name", CONFIGS)
def test_the_body_is_in_half_precision_and_the_logits_in_float32_under_a_mixed_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_model(CONFIGS[name], num_classes=2)
        logits = model(images(), training=False)
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert model.get_layer("logits").compute_dtype == "float32"
    assert model.get_layer("up0_conv").compute_dtype == "float16"
    assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_model_gives_the_same_output(models, name, tmp_path):
    models[name].save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    batch = images(128, 64)
    np.testing.assert_array_equal(answer(again, batch), answer(models[name], batch))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pixel_far_down_right_does_not_shift_the_answer_and_a_near_one_changes_it(models, name):
    # The answer at a pixel follows the image there: a model whose skips were mixed up would give the same map.
    batch = images(64, 128)
    other = batch.copy()
    other[:, 20:24, 20:24] = 255 - other[:, 20:24, 20:24]
    change = np.abs(answer(models[name], other) - answer(models[name], batch)).max(axis=(0, 3))
    assert change[18:26, 18:26].mean() > 2 * change[:, 100:].mean()


@pytest.mark.parametrize("name", ["unet", "unet_full"])
def test_a_training_step_lowers_the_loss_on_a_fixed_batch_of_a_unet(name):
    assert_training_helps(build_model(CONFIGS[name], 2), steps=5)


def test_a_training_step_lowers_the_loss_on_a_fixed_batch_of_an_encoder_unet():
    assert_training_helps(build_model(CONFIGS["efficientnet_b0_unet"], 2), steps=3)


def assert_training_helps(model, steps):
    # In training mode, whose batch statistics are those of the step itself; dark squares are the foreground.
    batch = images(count=2) / 10 + 200
    truth = np.zeros((2, 64, 64, 1), np.uint8)
    truth[:, 16:40, 16:40] = 1
    batch[truth > 0] -= 120
    # Eagerly, since compiling an encoder for three steps takes half a minute.
    model.compile(keras.optimizers.Adam(1e-3), SegmentationLoss(), run_eagerly=True)
    losses = [float(model.train_on_batch(batch, truth)) for _ in range(steps)]
    assert losses[-1] < losses[0]
    assert np.isfinite(losses).all()


def test_every_weight_of_a_unet_gets_a_gradient():
    tf = pytest.importorskip("tensorflow")
    model = build_model(CONFIGS["unet"], 2)
    with tf.GradientTape() as tape:
        loss = SegmentationLoss()(np.ones((1, 64, 64, 1), np.uint8), model(images(), training=True))
    weights = model.trainable_variables
    missing = [
        weight.path
        for weight, one in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True)
        if one is None
    ]
    assert missing == []


@pytest.mark.parametrize(("width", "depth", "deepest"), [(4, 3, 16), (8, 2, 16), (4, 6, 64)])
def test_the_channels_of_a_unet_double_with_each_level_up_to_16_widths(width, depth, deepest):
    # width * 2 ** (depth - 1), but at most 16 * width.
    model = unet(2, width=width, depth=depth)
    assert model.get_layer(f"down{depth - 1}_2_conv").filters == deepest


@pytest.fixture(scope="module")
def reference():
    """EfficientNetB0 of keras.applications without top, at random."""
    keras.utils.set_random_seed(1)
    return keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(None, None, 3))


@pytest.fixture(scope="module")
def weights_file(reference, tmp_path_factory):
    """Its weights in the format in which keras.applications ships them: HDF5 as Keras 2 wrote it."""
    path = tmp_path_factory.mktemp("weights") / "efficientnetb0_notop.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, reference)
    return path


def test_gray_repeated_gives_the_features_of_the_rgb_network_on_the_repeated_image(reference, weights_file):
    model = encoder_unet("efficientnet_b0", 2, weights=str(weights_file))
    encoder = model.get_layer("encoder")
    deepest = keras.Model(encoder.input, encoder.outputs[-1])
    batch = images(96, 64)
    assert model.start == f"the file {weights_file}"
    expected = answer(reference, np.repeat(batch, 3, axis=-1))
    assert expected.std() > 0
    np.testing.assert_array_equal(answer(deepest, batch), expected)


def test_the_encoder_normalises_pixels_of_0_to_255_itself(models):
    layers = {
        type(layer).__name__ for layer in models["efficientnet_b0_unet"].get_layer("encoder").get_layer("body").layers
    }
    assert {"Rescaling", "Normalization"} <= layers


def test_weights_of_another_network_are_refused_with_the_file_that_would_do(weights_file):
    with pytest.raises(SettingError) as caught:
        encoder_unet("efficientnet_b1", 2, weights=str(weights_file))
    what, *rest = str(caught.value).splitlines()
    assert what.startswith(f"--weights {weights_file} does not fit efficientnet_b1: ")
    assert rest == [
        "Expected: weights of that network, no top.",
        "Fix: give the path of efficientnetb1_notop.h5 of keras.applications.",
    ]


def test_a_file_that_is_no_weights_is_refused(tmp_path):
    path = tmp_path / "efficientnetb0_notop.h5"
    path.write_bytes(b"not found")
    with pytest.raises(SettingError) as caught:
        encoder_unet("efficientnet_b0", 2, weights=str(path))
    what, *rest = str(caught.value).splitlines()
    assert what.startswith(f"--weights {path} does not fit efficientnet_b0: ")
    assert rest[-1] == "Fix: give the path of efficientnetb0_notop.h5 of keras.applications."


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no numbers"])
def test_a_damaged_encoder_of_ours_is_refused(tmp_path, content):
    path = tmp_path / "encoder.npz"
    path.write_bytes(content)
    with pytest.raises(SettingError) as caught:
        encoder_unet("mobilenetv2_035", 2, weights=str(path))
    what, *rest = str(caught.value).splitlines()
    assert what.startswith(f"--weights {path} cannot be read: ")
    assert rest[0] == "Expected: an encoder that plankton wrote."


def test_a_folder_of_weights_that_is_no_run_is_not_said_to_be_missing(tmp_path):
    with pytest.raises(SettingError) as caught:
        encoder_unet("efficientnet_b2", 2, weights=str(tmp_path))
    assert str(caught.value).startswith(
        f"--weights {tmp_path} is no run: it has no model.keras.\n"
        "Expected: auto, plankton, imagenet, none, a run, or a file.\n"
    )


def test_a_file_of_weights_that_is_not_there_is_named():
    with pytest.raises(SettingError) as caught:
        encoder_unet("efficientnet_b2", 2, weights="missing.h5")
    assert str(caught.value) == (
        "--weights missing.h5 does not exist.\nExpected: auto, plankton, imagenet, none, a run, or a file.\n"
        "Fix: give the path of efficientnetb2_notop.h5 of keras.applications."
    )


@pytest.fixture
def offline(monkeypatch):
    """keras.applications without a network or a cached file."""
    build = keras.applications.EfficientNetB0

    def fails(weights=None, **kwargs):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://storage.googleapis.com/b0: None -- unknown\nsecond line")
        return build(weights=weights, **kwargs)

    monkeypatch.setattr(keras.applications, "EfficientNetB0", fails)


@pytest.mark.usefixtures("offline")
def test_imagenet_without_a_network_says_which_file_to_put_where():
    with pytest.raises(SettingError) as caught:
        encoder_unet("efficientnet_b0", 2, weights="imagenet")
    assert str(caught.value) == (
        "--weights imagenet: URL fetch failure on https://storage.googleapis.com/b0: None -- unknown\n"
        "Expected: efficientnetb0_notop.h5 in the folder models of Keras' cache (KERAS_HOME, else ~/.keras), "
        "or a network to fetch it.\n"
        "Fix: put the file there, give its path to --weights, or train with --weights none."
    )


@pytest.mark.usefixtures("offline")
def test_auto_without_a_network_starts_at_random_and_logs_the_reason(caplog):
    with caplog.at_level(logging.INFO, "plankton_keras"):
        model = encoder_unet("efficientnet_b0", 2, weights="auto")
    assert model.start == (
        "random weights, since ImageNet's cannot be had "
        "(URL fetch failure on https://storage.googleapis.com/b0: None -- unknown)"
    )
    assert [record.getMessage() for record in caplog.records] == [f"efficientnet_b0 starts from {model.start}"]
    assert np.isfinite(answer(model, images())).all()


@pytest.mark.usefixtures("offline")
def test_none_asks_for_no_network():
    assert encoder_unet("efficientnet_b0", 2, weights="none").start == "random weights"
