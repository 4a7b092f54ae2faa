"""curves: against scikit-learn, pixel by pixel."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, precision_recall_fscore_support

from plankton_keras.curves import calibration, histogram_of, threshold_curves
from plankton_keras.temperature import fit_temperature, pixel_temperature


@pytest.fixture(scope="module")
def pixels():
    """Truth and probability in 1/255 of pixels that are surer than they should be."""
    rng = np.random.default_rng(0)
    probability = rng.integers(0, 256, 5000)
    return (rng.random(5000) < 0.25 + probability / 510).astype(int), probability


@pytest.mark.parametrize("level", [1, 40, 128, 255])
def test_the_scores_at_a_threshold_are_those_of_scikit_learn(pixels, level):
    truth, probability = pixels
    curves = threshold_curves(histogram_of(*pixels))
    expected = precision_recall_fscore_support(truth, probability >= level, average="binary")[:3]
    place = level - 1
    assert curves["threshold"][place] == pytest.approx(level / 255, abs=1e-4)
    assert [curves[name][place] for name in ("precision", "recall", "f1")] == pytest.approx(expected, abs=1e-4)


def test_calibration_is_that_of_the_pixels_above_0(pixels):
    truth, probability = (each[pixels[1] > 0] for each in pixels)
    found = calibration(histogram_of(*pixels))
    assert found["brier"] == pytest.approx(brier_score_loss(truth, probability / 255))
    error = 0
    for place, bin in enumerate(found["bins"]):
        inside = np.minimum((probability / 255 * 10).astype(int), 9) == place
        assert bin["pixels"] == inside.sum()
        assert bin["confidence"] == pytest.approx(probability[inside].mean() / 255)
        assert bin["share"] == pytest.approx(truth[inside].mean())
        error += abs((probability[inside] / 255 - truth[inside]).sum())
    assert found["ece"] == pytest.approx(error / len(truth))


def test_pixels_that_are_what_they_say_have_no_calibration_error():
    histogram = np.zeros((2, 256))
    histogram[:, 51], histogram[:, 204] = (80, 20), (20, 80)
    assert calibration(histogram)["ece"] == pytest.approx(0)


def test_without_pixels_there_is_nothing_to_say():
    found = calibration(np.zeros((2, 256)))
    assert (found["ece"], found["brier"], found["bins"][3]["share"]) == (0, 0, None)
    assert set(threshold_curves(np.zeros((2, 256)))["f1"]) == {0}


@pytest.mark.parametrize("temperature", [0.6, 1.0, 3.0])
def test_the_temperature_of_logits_that_were_multiplied_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_of_pixels_makes_their_probabilities_what_they_say():
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 1, 50_000)
    truth = rng.random(50_000) < 1 / (1 + np.exp(-odds))
    probability = np.rint(255 / (1 + np.exp(-2 * odds))).astype(np.uint8)
    assert pixel_temperature(histogram_of(truth, probability)) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("truth", [0, 1])
def test_pixels_of_one_kind_have_no_temperature(truth):
    assert pixel_temperature(histogram_of(np.full(9, truth), np.arange(9, dtype=np.uint8))) == 1
