"""thawing: what is frozen stays bit for bit, then moves from the last layer to the first, also after a resume."""

import itertools

import keras
import numpy as np
import pytest

from plankton_keras import training
from plankton_keras.config import TrainConfig
from plankton_keras.errors import SettingError
from plankton_keras.models import build_model
from plankton_keras.thawing import LOWER, ThawingAdamW, plan

CONFIG = TrainConfig(
    model="mobilenetv2_035", weights="none", epochs=4, steps_per_epoch=2, frozen_epochs=1, learning_rate=0.01
)


def batch(step):
    generator = np.random.default_rng(step)
    labels = generator.integers(0, 3, 8)
    images = generator.normal(90 + 60 * labels[:, None, None, None], 5, (8, 32, 32, 1)).astype(np.float32)
    return {"image": images, "side": np.full((8, 1), 64, np.float32)}, labels


def built(config=CONFIG):
    keras.utils.set_random_seed(1)
    model = build_model(config, 3)
    # Dropout draws anew in a model that is built anew; training.Keeper sees to that.
    model.get_layer("dropout").rate = 0.0
    training.compile_model(model, config)
    return model


def weights_of(model):
    """Trainable weights of each layer of the encoder, in order, as bytes; and the statistics and head."""
    body = model.get_layer("encoder").get_layer("body").layers
    moved = [b"".join(np.array(v).tobytes() for v in layer.trainable_variables) for layer in body]
    fixed = [np.array(v).tobytes() for layer in body for v in layer.non_trainable_variables]
    return [each for each in moved if each], fixed, np.array(model.get_layer("logits").kernel)


def test_the_encoder_stays_then_thaws_from_the_last_layer_to_the_first_and_its_statistics_never():
    model = built()
    before, fixed, head = weights_of(model)
    moved = []
    for step in range(5):
        model.train_on_batch(*batch(step))
        now, _, _ = weights_of(model)
        moved.append([old != new for old, new in zip(before, now, strict=True)])
    # Frozen for 2 steps, thawed wholly after 4: at the third step the last layer alone moves, at the fifth all do.
    assert not any(moved[0] + moved[1])
    assert moved[2] == [False] * (len(before) - moved[2].count(True)) + [True] * moved[2].count(True)
    assert 0 < moved[2].count(True) < moved[3].count(True) < len(before)
    assert all(moved[4])
    _, still, trained = weights_of(model)
    assert still == fixed
    assert not np.array_equal(trained, head)


def test_no_weight_decays_that_is_pretrained_under_jax_either():
    # TensorFlow asks for its own variables, which are named after the path; JAX for those of Keras, which are not.
    model = built()
    decays = {each.path: model.optimizer._use_weight_decay(each) for each in model.trainable_variables}
    assert not any(decays[path] for path in model.optimizer.thaw)
    assert decays[model.get_layer("logits").kernel.path]


@pytest.mark.slow
def test_without_frozen_epochs_all_layers_move_at_once():
    model = built(TrainConfig.from_json({**CONFIG.to_json(), "frozen_epochs": 0}))
    before, _, _ = weights_of(model)
    for step in range(2):
        model.train_on_batch(*batch(step))
    assert all(old != new for old, new in zip(before, weights_of(model)[0], strict=True))


def test_layers_thaw_in_turn_over_the_steps_by_hand():
    image = keras.Input((8, 8, 1))
    x = image
    for index in range(3):
        x = keras.layers.Conv2D(2, 3, use_bias=False, name=f"conv{index}")(x)
    encoder = keras.Model(image, keras.Model(image, x, name="body")(image))
    assert plan(encoder, 10, 20) == {"conv2/kernel": 10, "conv1/kernel": 15, "conv0/kernel": 20}


def test_a_thawed_variable_moves_at_a_lower_rate():
    free, slow = keras.Variable([1.0], name="free"), keras.Variable([1.0], name="slow")
    optimizer = ThawingAdamW(0.1, weight_decay=0.0, thaw={"slow": 1})
    for step in range(2):
        before = np.array(free), np.array(slow)
        optimizer.apply([np.array([1.0], np.float32)] * 2, [free, slow])
        steps = before[0] - np.array(free), before[1] - np.array(slow)
        # Adam steps by the rate where the gradient stays the same.
        assert steps == pytest.approx((0.1, 0.1 * LOWER * step), abs=1e-5)


def test_the_optimiser_comes_back_from_its_config():
    optimizer = ThawingAdamW(0.1, thaw={"a/kernel": 7})
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert (type(again), again.thaw) == (ThawingAdamW, {"a/kernel": 7})


@pytest.mark.slow
def test_a_resumed_run_thaws_as_one_that_was_left_alone(tmp_path):
    whole, first, second = built(), built(), built()
    for step in range(5):
        whole.train_on_batch(*batch(step))
    for step in range(3):
        first.train_on_batch(*batch(step))
    first.save_weights(tmp_path / "a.weights.h5")
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "a.weights.h5")
    for step in range(3, 5):
        second.train_on_batch(*batch(step))
    for one, other in itertools.zip_longest(whole.get_weights(), second.get_weights()):
        assert one == pytest.approx(other, abs=1e-6)


def test_a_network_without_an_encoder_cannot_freeze_it():
    config = TrainConfig(width=4, depth=2, steps_per_epoch=1, frozen_epochs=2)
    with pytest.raises(SettingError) as caught:
        training.compile_model(build_model(config, 2), config)
    assert str(caught.value) == (
        "--frozen-epochs is 2, but a unet has no encoder.\n"
        "Expected: a model with an encoder, such as mobilenet_075_unet.\n"
        "Fix: leave --frozen-epochs out."
    )
