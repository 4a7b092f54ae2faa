"""metrics: counts of pixels that add up over batches."""

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from plankton_keras.metrics import PixelScores, VignetteScores

SURE = 20.0


def answer(foreground, dtype="float32"):
    """Logits of two classes that are sure of a 0/1 map `(batch, height, width)`."""
    foreground = np.asarray(foreground)
    return np.stack([SURE * (1 - foreground), SURE * foreground], axis=-1).astype(dtype)


def truth_of(mask):
    return np.asarray(mask, np.uint8)[..., None]


def results(metric):
    return {name: float(value) for name, value in metric.result().items()}


def test_scores_by_hand():
    # Truth 1 1 1 0 0 0 0 0, found 1 1 0 1 0 0 0 0: 2 found, 1 false, 1 missed, 4 of neither.
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[1, 1, 1, 0, 0, 0, 0, 0]]]), answer([[[1, 1, 0, 1, 0, 0, 0, 0]]]))
    expected = {"f1": 4 / 6, "precision": 2 / 3, "recall": 2 / 3, "iou": 2 / 4, "accuracy": 6 / 8}
    # 0.5 * 255 = 127.5 is the bin 128 of 255.
    assert results(metric) == pytest.approx({**expected, "threshold": 128 / 255}, rel=1e-6)


def test_pixels_are_counted_over_batches_not_averaged_over_them():
    # 1 pixel of 1 found in a batch; 10 of 100 in the next. The mean of the recalls is (1 + 0.1) / 2 = 0.55, the recall
    # of the pixels 11 / 101; without false ones F1 is 22 / (22 + 90).
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[1]]]), answer([[[1]]]))
    metric.update_state(truth_of(np.ones((1, 10, 10))), answer((np.arange(100) < 10).reshape(1, 10, 10)))
    scores = results(metric)
    assert scores["recall"] == pytest.approx(11 / 101)
    assert scores["f1"] == pytest.approx(22 / 112)


def test_batches_in_any_order_and_size_give_the_same_scores():
    rng = np.random.default_rng(0)
    truth, logits = truth_of(rng.random((6, 8, 8)) < 0.3), rng.normal(size=(6, 8, 8, 2)).astype("float32")
    whole, parts = PixelScores(), PixelScores()
    whole.update_state(truth, logits)
    for chosen in ([4], [0, 5, 2], [1, 3]):
        parts.update_state(truth[chosen], logits[chosen])
    assert results(parts) == results(whole)


@pytest.fixture(scope="module")
def random_answer():
    """Truth, logits that know something of it, and the 256-step probability."""
    rng = np.random.default_rng(1)
    truth = (rng.random((3, 20, 20)) < 0.2).astype(np.uint8)
    logits = rng.normal(size=(3, 20, 20, 2)).astype("float32") + 1.2 * np.stack([1 - truth, truth], axis=-1)
    logits = logits.astype("float32")
    probability = 1 / (1 + np.exp(logits[..., 0].astype(float) - logits[..., 1]))
    return truth, logits, np.rint(probability * 255).astype(int)


def test_the_best_threshold_is_that_of_scikit_learn_over_all_256(random_answer):
    truth, logits, bins = random_answer
    f1 = [f1_score(truth.ravel(), (bins >= step).ravel()) for step in range(256)]
    metric = PixelScores()
    metric.update_state(truth_of(truth), logits)
    scores = results(metric)
    assert scores["f1"] == pytest.approx(max(f1), rel=1e-6)
    assert round(scores["threshold"] * 255) == int(np.argmax(f1))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9])
def test_all_scores_at_a_threshold_are_those_of_scikit_learn(random_answer, threshold):
    truth, logits, bins = random_answer
    pair = truth.ravel(), (bins >= round(threshold * 255)).ravel()
    metric = PixelScores(threshold=threshold)
    metric.update_state(truth_of(truth), logits)
    expected = {
        "f1": f1_score(*pair),
        "precision": precision_score(*pair),
        "recall": recall_score(*pair),
        "iou": jaccard_score(*pair),
        "accuracy": accuracy_score(*pair),
        "threshold": round(threshold * 255) / 255,
    }
    assert results(metric) == pytest.approx(expected, rel=1e-5)


def test_every_class_but_0_is_foreground_even_where_its_kind_is_wrong():
    # Class 2 predicted as class 1, class 0 as class 0: both right for the foreground.
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[2, 0]]]), np.array([[[[-SURE, SURE, -SURE], [SURE, 0, 0]]]], np.float32))
    assert results(metric)["f1"] == 1


def test_the_probabilities_of_all_classes_but_0_add_up():
    # Logits 0 0 0: class 1 and 2 have 1/3 each, together 2/3, above one half though class 0 is as likely as any.
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[1]]]), np.zeros((1, 1, 1, 3), np.float32))
    assert results(metric)["recall"] == 1


def test_half_precision_logits_of_a_mask_of_ones_are_counted_to_the_pixel():
    # 2 * 512 * 512 = 524,288 pixels, 8 times the largest float16; a quarter of them is missed.
    found = np.ones((2, 512, 512), np.uint8)
    found[:, :128] = 0
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of(np.ones((2, 512, 512))), answer(found, "float16"))
    scores = results(metric)
    assert float(metric.counts.numpy().sum()) == 524_288
    assert scores["recall"] == 0.75
    # 2 * 3/4 / (2 * 3/4 + 1/4) = 6/7.
    assert scores["f1"] == pytest.approx(6 / 7)


def test_scores_of_a_single_pixel():
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[1]]]), answer([[[1]]]))
    assert results(metric) == pytest.approx(
        {"f1": 1, "precision": 1, "recall": 1, "iou": 1, "accuracy": 1, "threshold": 128 / 255}
    )
    metric.reset_state()
    metric.update_state(truth_of([[[1]]]), answer([[[0]]]))
    assert results(metric)["accuracy"] == 0


def test_a_batch_one_pixel_high_is_counted_pixel_by_pixel():
    metric = PixelScores(threshold=0.5)
    metric.update_state(truth_of([[[1, 0]], [[0, 1]]]), answer([[[1, 0]], [[1, 1]]]))
    # Rows are the truth, columns 256 steps of the probability.
    counts = metric.counts.numpy()
    assert counts.shape == (2, 256)
    assert (counts[0, 0], counts[0, 255], counts[1, 0], counts[1, 255], counts.sum()) == (1, 1, 0, 2, 4)


@pytest.mark.parametrize(("kind", "name"), [(PixelScores, "pixel_scores"), (VignetteScores, "vignette_scores")])
def test_counts_are_float32_under_any_policy(kind, name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    keras.config.set_floatx("float16")
    try:
        metric = kind(4) if kind is VignetteScores else kind()
        assert (metric.name, metric.dtype, metric.counts.dtype, metric.counts.name) == (
            name,
            "float32",
            "float32",
            "counts",
        )
        assert float(metric.counts.numpy().sum()) == 0
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("found", [0, 1])
def test_masks_without_foreground_give_0_not_nan(threshold, found):
    metric = PixelScores(threshold=threshold)
    metric.update_state(truth_of(np.zeros((1, 4, 4))), answer(np.full((1, 4, 4), found)))
    scores = results(metric)
    assert [scores[name] for name in ("f1", "precision", "recall", "iou")] == [0, 0, 0, 0]
    assert np.isfinite(list(scores.values())).all()


def test_before_any_pixel_and_after_a_reset_all_scores_but_accuracy_are_0():
    metric = PixelScores(threshold=0.5)
    fresh = results(metric)
    assert [fresh[name] for name in ("f1", "precision", "recall", "iou")] == [0, 0, 0, 0]
    metric.update_state(truth_of([[[1]]]), answer([[[1]]]))
    assert results(metric)["f1"] == 1
    metric.reset_state()
    assert results(metric) == fresh


def test_a_metric_that_is_saved_with_a_model_keeps_its_threshold():
    metric = PixelScores(threshold=0.25, name="scores")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert (again.name, again.threshold) == ("scores", 0.25)


def test_scores_of_vignettes_by_hand():
    # a: 2 of 3 found, none false; b: 1 of 2 found, 2 false; c absent, 1 false; d 1 missed.
    metric = VignetteScores(num_classes=4)
    metric.update_state(np.array([0, 0, 0, 1, 1, 3]), SURE * np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 1]])
    expected = {
        "f1": (4 / 5 + 2 / 5) / 3,
        "precision": (1 + 1 / 3) / 3,
        "recall": (2 / 3 + 1 / 2) / 3,
        "accuracy": 1 / 2,
    }
    assert results(metric) == pytest.approx(expected)


def test_scores_of_a_single_vignette():
    metric = VignetteScores(num_classes=3)
    metric.update_state(np.array([2]), SURE * np.eye(3, dtype=np.float32)[[2]])
    assert results(metric) == {"f1": 1, "precision": 1, "recall": 1, "accuracy": 1}
    # Rows are the truth, columns what it was called.
    metric.update_state(np.array([[1]]), SURE * np.eye(3, dtype=np.float32)[[0]])
    assert metric.counts.numpy().tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_scores_of_vignettes_over_several_batches_are_those_of_scikit_learn(dtype):
    # Of 8 classes 6 are present, and all are predicted.
    rng = np.random.default_rng(2)
    labels = rng.choice([0, 1, 2, 4, 5, 7], 200, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    logits = (rng.normal(size=(200, 8)) + 1.5 * np.eye(8)[labels]).astype(dtype)
    metric = VignetteScores(num_classes=8)
    for some in (slice(0, 64), slice(64, 128), slice(128, 200)):
        metric.update_state(labels[some], logits[some])
    predicted = logits.argmax(axis=1)
    assert set(predicted) == set(range(8))
    macro = {"average": "macro", "labels": np.unique(labels), "zero_division": 0}
    expected = {
        "f1": f1_score(labels, predicted, **macro),
        "precision": precision_score(labels, predicted, **macro),
        "recall": recall_score(labels, predicted, **macro),
        "accuracy": accuracy_score(labels, predicted),
    }
    assert results(metric) == pytest.approx(expected, rel=1e-6)


def test_scores_of_vignettes_are_0_before_any_and_after_a_reset():
    metric = VignetteScores(num_classes=3)
    assert results(metric) == {"f1": 0, "precision": 0, "recall": 0, "accuracy": 0}
    metric.update_state(np.array([0, 2]), SURE * np.eye(3, dtype=np.float32)[[0, 2]])
    assert results(metric) == {"f1": 1, "precision": 1, "recall": 1, "accuracy": 1}
    metric.reset_state()
    assert results(metric) == {"f1": 0, "precision": 0, "recall": 0, "accuracy": 0}


def test_scores_of_vignettes_that_are_saved_with_a_model_keep_their_classes():
    metric = VignetteScores(num_classes=5, name="scores")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert (again.name, again.num_classes, again.counts.shape) == ("scores", 5, (5, 5))
