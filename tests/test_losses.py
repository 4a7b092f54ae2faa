"""losses: computed by hand on a few pixels, and right where half precision would overflow."""

import keras
import numpy as np
import pytest
from keras import ops

from plankton_keras.losses import SegmentationLoss, VignetteLoss, balanced_weights

# Logits whose softmax is 1/4, 3/4: log 3 apart.
THREE_QUARTERS = float(np.log(3))


def batch(truth, logits, dtype="float32"):
    """One row of pixels: class indices, and logits a pixel."""
    truth, logits = np.array(truth, np.uint8), np.array(logits, dtype)
    return truth.reshape(1, 1, -1, 1), logits.reshape(1, 1, len(truth), -1)


def loss_of(kind, truth, logits, **kwargs):
    return float(SegmentationLoss(kind, **kwargs)(*batch(truth, logits)))


# Four pixels: probabilities of the foreground 3/4, 1/4, 3/4, 1/4; truth 1, 1, 0, 0.
TRUTH = [1, 1, 0, 0]
LOGITS = [[0, THREE_QUARTERS], [THREE_QUARTERS, 0], [0, THREE_QUARTERS], [THREE_QUARTERS, 0]]


def test_bce_dice_by_hand():
    # Cross-entropy: the true class has 3/4, 1/4, 1/4, 3/4, so the mean of -log is -(log 3/4 + log 1/4) / 2.
    entropy = -(np.log(3 / 4) + np.log(1 / 4)) / 2
    # Dice: found = 3/4 + 1/4 = 1, false = 3/4 + 1/4 = 1, missed = 1/4 + 3/4 = 1; 1 - (1 + 1) / (1 + 1/2 + 1/2 + 1).
    dice = 1 - 2 / 3
    assert loss_of("bce_dice", TRUTH, LOGITS) == pytest.approx(entropy + dice, rel=1e-5)


def test_focal_by_hand():
    # -(1 - p)**2 log p with p = 3/4, 1/4, 1/4, 3/4, as a mean.
    focal = -((1 / 4) ** 2 * np.log(3 / 4) + (3 / 4) ** 2 * np.log(1 / 4)) / 2
    assert loss_of("focal", TRUTH, LOGITS) == pytest.approx(focal, rel=1e-5)


def test_tversky_weighs_a_missed_pixel_more_than_a_false_one():
    # Pixels 1 and 2 of truth 1, 0 with foreground 1/4, 1/4: found 1/4, false 1/4, missed 3/4.
    logits = [[THREE_QUARTERS, 0], [THREE_QUARTERS, 0]]
    entropy = -(np.log(1 / 4) + np.log(3 / 4)) / 2
    # 1 - (1/4 + 1) / (1/4 + 0.3 * 1/4 + 0.7 * 3/4 + 1) = 1 - 1.25 / 1.85.
    assert loss_of("tversky", [1, 0], logits) == pytest.approx(entropy + 1 - 1.25 / 1.85, rel=1e-5)
    # The mirror image, foreground 3/4 twice: found 3/4, false 3/4, missed 1/4.
    # 1 - (3/4 + 1) / (3/4 + 0.3 * 3/4 + 0.7 * 1/4 + 1) = 1 - 1.75 / 2.15.
    logits = [[0, THREE_QUARTERS], [0, THREE_QUARTERS]]
    assert loss_of("tversky", [1, 0], logits) == pytest.approx(entropy + 1 - 1.75 / 2.15, rel=1e-5)


def test_dice_takes_all_classes_but_0_as_one():
    # Uniform probabilities of 1/3 on pixels of class 0, 1, 2: found 2/3 + 2/3, false 2/3, missed 1/3 + 1/3.
    dice = 1 - (4 / 3 + 1) / (4 / 3 + 1 / 3 + 1 / 3 + 1)
    assert loss_of("bce_dice", [0, 1, 2], np.zeros((3, 3))) == pytest.approx(np.log(3) + dice, rel=1e-5)


def test_a_pixel_taken_for_another_class_than_0_costs_cross_entropy_alone():
    # Class 2 has 3/4 and class 1, the true one, 1/4: the region is found whole.
    logits = [[-30, 0, THREE_QUARTERS], [30, 0, 0]]
    assert loss_of("bce_dice", [1, 0], logits) == pytest.approx(np.log(4) / 2, rel=1e-5)


def test_class_weights_multiply_the_pixel_term_alone():
    # Weights 2 for class 0 and 10 for class 1: (10 (-log 3/4) + 10 (-log 1/4) + 2 (-log 1/4) + 2 (-log 3/4)) / 4.
    entropy = -(12 * np.log(3 / 4) + 12 * np.log(1 / 4)) / 4
    assert loss_of("bce_dice", TRUTH, LOGITS, class_weights=[2, 10]) == pytest.approx(entropy + 1 / 3, rel=1e-5)


def test_class_weights_enter_the_focal_loss():
    # One pixel of class 1 with p = 1/4: 5 * (3/4)**2 * -log 1/4.
    expected = 5 * (3 / 4) ** 2 * np.log(4)
    assert loss_of("focal", [1], [[THREE_QUARTERS, 0]], class_weights=[1, 5]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", SegmentationLoss.kinds)
def test_a_perfect_answer_costs_nothing_and_its_opposite_much(kind):
    assert loss_of(kind, [1, 0], [[-30, 30], [30, -30]]) == pytest.approx(0, abs=1e-6)
    assert loss_of(kind, [1, 0], [[30, -30], [-30, 30]]) > 10


@pytest.mark.parametrize("kind", SegmentationLoss.kinds)
def test_half_precision_logits_of_a_mask_of_ones_do_not_overflow(kind):
    # 512 * 512 = 262,144 is above 65,504, the largest float16.
    truth = np.ones((1, 512, 512, 1), np.uint8)
    logits = np.zeros((1, 512, 512, 2), np.float16)
    loss = SegmentationLoss(kind)(truth, logits)
    # Half of each pixel is found and half missed, none is false; the added pixel changes the sixth digit.
    region = {"bce_dice": 1 - 0.5 / 0.75, "focal": 0, "tversky": 1 - 0.5 / (0.5 + 0.7 * 0.5)}[kind]
    pixel = np.log(2) * (0.25 if kind == "focal" else 1)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(pixel + region, rel=1e-4)


@pytest.mark.parametrize("kind", SegmentationLoss.kinds)
@pytest.mark.parametrize("size", [1e4, 0.0])
def test_extreme_logits_give_a_finite_loss(kind, size):
    assert np.isfinite(loss_of(kind, [1, 0], [[size, -size], [-size, size]]))


@pytest.mark.parametrize("kind", SegmentationLoss.kinds)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_gradient_of_a_batch_without_foreground_is_finite_and_pulls_the_foreground_down(kind, dtype):
    tf = pytest.importorskip("tensorflow")
    logits = tf.Variable(np.random.default_rng(0).normal(size=(2, 16, 16, 2)).astype(dtype))
    with tf.GradientTape() as tape:
        loss = SegmentationLoss(kind)(np.zeros((2, 16, 16, 1), np.uint8), logits)
    gradient = tape.gradient(loss, logits).numpy().astype(float)
    assert np.isfinite(gradient).all()
    # Below 3e-8, half of the smallest float16, the gradient of a sure pixel becomes 0 in half precision.
    foreground, ground = gradient[..., 1], -gradient[..., 0]
    assert min(foreground.min(), ground.min()) >= 0
    share = 1 if dtype == "float32" else 0.99
    assert min((foreground > 0).mean(), (ground > 0).mean()) >= share


def test_the_loss_is_over_the_batch_not_over_its_patches():
    # A patch with one found pixel and one empty patch; averaged over patches, Dice would differ.
    truth, logits = np.zeros((2, 1, 2, 1), np.uint8), np.zeros((2, 1, 2, 2), np.float32)
    truth[0, 0, 0] = 1
    # found 1/2, false 3/2, missed 1/2 over all four pixels of probability 1/2.
    dice = 1 - 1.5 / (0.5 + 0.75 + 0.25 + 1)
    assert float(SegmentationLoss("bce_dice")(truth, logits)) == pytest.approx(np.log(2) + dice, rel=1e-5)


@pytest.mark.parametrize("kind", SegmentationLoss.kinds)
def test_a_loss_that_is_saved_with_a_model_is_the_same_again(kind):
    loss = SegmentationLoss(kind, class_weights=[1.0, 3.0])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(again(*batch(TRUTH, LOGITS))) == float(loss(*batch(TRUTH, LOGITS)))
    assert again.get_config() == loss.get_config()


def test_balanced_weights_by_hand():
    # 1 / sqrt(0.64) = 1.25 and 1 / sqrt(0.36) = 5/3; the mean pixel weighs 1.25 * 0.64 + 5/3 * 0.36 = 1.4.
    assert balanced_weights([0.64, 0.36]) == pytest.approx([1.25 / 1.4, 5 / 3 / 1.4])


def test_balanced_weights_leave_the_mean_pixel_at_one_and_skip_absent_classes():
    shares = [0.9, 0.0, 0.07, 0.03]
    weights = balanced_weights(shares)
    assert weights[1] == 0
    assert sum(np.multiply(weights, shares)) == pytest.approx(1)
    assert weights[3] > weights[2] > weights[0]


def test_logits_on_the_graph_give_the_same_as_eager_ones():
    loss = SegmentationLoss("tversky")
    tf = pytest.importorskip("tensorflow")
    truth, logits = batch(TRUTH, LOGITS)
    compiled = tf.function(loss)
    assert float(compiled(truth, logits)) == pytest.approx(float(ops.convert_to_numpy(loss(truth, logits))), rel=1e-6)


def test_the_loss_of_two_vignettes_by_hand():
    # Both have 1/4 for class 0 and 3/4 for class 1; the first is of class 1, the second of class 0.
    logits = np.array([[0, THREE_QUARTERS]] * 2, np.float32)
    mean = (np.log(1 / 4) + np.log(3 / 4)) / 2
    first, second = -0.9 * np.log(3 / 4) - 0.1 * mean, -0.9 * np.log(1 / 4) - 0.1 * mean
    assert ops.convert_to_numpy(VignetteLoss().call(np.array([1, 0]), logits)) == pytest.approx([first, second])
    assert float(VignetteLoss()(np.array([1, 0]), logits)) == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("classes", [2, 40])
def test_a_vignette_without_an_opinion_costs_the_log_of_the_classes(classes):
    assert float(VignetteLoss()(np.array([1]), np.zeros((1, classes)))) == pytest.approx(np.log(classes))


def test_the_vignette_loss_is_the_cross_entropy_with_a_smoothed_truth():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 7, 30), rng.normal(size=(30, 7)).astype("float32")
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(np.eye(7)[labels], logits)
    assert float(VignetteLoss()(labels, logits)) == pytest.approx(float(entropy), rel=1e-6)


def test_a_vignette_that_is_too_sure_costs_more_than_one_that_is_rather_sure():
    # With two classes the smoothed truth is 0.95, 0.05, and the loss is least at a softmax of just that.
    logits = np.array([[np.log(0.95 / 0.05), 0], [1, 0], [20, 0]], np.float32)
    losses = ops.convert_to_numpy(VignetteLoss().call(np.zeros(3), logits))
    assert losses.argmin() == 0


def test_half_precision_logits_of_vignettes_do_not_overflow():
    # The logits are 120,000 apart, above the largest float16: 0.9 * 120,000 + 0.1 * 120,000 / 2.
    loss = VignetteLoss()(np.array([1]), np.array([[60_000, -60_000]], np.float16))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(114_000)


def test_a_vignette_loss_that_is_saved_with_a_model_is_the_same_again():
    loss = VignetteLoss(name="loss_of_vignettes")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    assert type(again) is VignetteLoss
    assert again.get_config() == loss.get_config()
    assert float(again(np.arange(5) % 3, logits)) == float(loss(np.arange(5) % 3, logits))
