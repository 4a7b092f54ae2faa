"""vignette_scores: by hand on a few vignettes, and those of scikit-learn on many."""

import json

import numpy as np
import pytest
from sklearn import metrics

from plankton_keras.vignette_scores import score_vignettes

NAMES = ["a", "b", "c", "d"]


def sure(predicted, classes=4):
    """Probabilities of 0.7 for the predicted class, the rest in equal shares."""
    probabilities = np.full((len(predicted), classes), 0.3 / (classes - 1), np.float32)
    probabilities[np.arange(len(predicted)), predicted] = 0.7
    return probabilities


# Class c is absent but predicted once; class d is there once and never predicted.
LABELS = np.array([0, 0, 0, 1, 1, 3])
PREDICTED = np.array([0, 0, 1, 1, 2, 1])


def test_the_scores_of_each_class_by_hand():
    classes = score_vignettes(sure(PREDICTED), LABELS, NAMES)["classes"]
    # a: 2 of 3 found, none false; b: 1 of 2 found, 2 false.
    assert classes["a"] == pytest.approx({"precision": 1, "recall": 2 / 3, "f1": 4 / 5, "support": 3})
    assert classes["b"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "support": 2})
    assert classes["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert classes["d"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


def test_macro_figures_by_hand_are_means_over_the_three_classes_that_are_present():
    scores = score_vignettes(sure(PREDICTED), LABELS, NAMES)
    assert (scores["vignettes"], scores["accuracy"]) == (6, 0.5)
    assert scores["macro_precision"] == pytest.approx((1 + 1 / 3) / 3)
    assert scores["macro_recall"] == scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 2 / 5) / 3)


def test_the_confusion_has_the_truth_in_rows_and_the_prediction_in_columns():
    assert score_vignettes(sure(PREDICTED), LABELS, NAMES)["confusion"] == [
        [2, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
    ]


def test_classes_that_nobody_has_or_predicts_change_no_figure_but_their_own():
    few = score_vignettes(sure(PREDICTED), LABELS, NAMES)
    padded = np.concatenate([sure(PREDICTED), np.zeros((6, 3), np.float32)], axis=1)
    many = score_vignettes(padded, LABELS, [*NAMES, "e", "f", "g"])
    of_all = set(few) - {"classes", "confusion"}
    assert {name: many[name] for name in of_all} == {name: few[name] for name in of_all}
    assert {name: many["classes"][name] for name in NAMES} == few["classes"]


def test_perfect_answers_score_1_though_a_class_is_absent():
    labels = np.array([0, 2, 2, 3])
    scores = score_vignettes(sure(labels), labels, NAMES)
    figures = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "top3_accuracy")
    assert [scores[name] for name in figures] == [1] * 6


def test_top3_by_hand_with_ties_in_the_order_of_the_classes():
    probabilities = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.25] * 4, [0.25] * 4])
    labels = np.array([2, 1, 3, 2, 3])
    # The last of four ranks is the only miss: the third and the fifth vignette.
    assert score_vignettes(probabilities, labels, NAMES)["top3_accuracy"] == pytest.approx(3 / 5)


def test_of_two_classes_the_top3_are_all():
    assert score_vignettes(sure([1, 1], 2), np.array([0, 1]), ["a", "b"])["top3_accuracy"] == 1


@pytest.fixture(scope="module")
def random_answer():
    """Seven classes, of which five are present, and probabilities that know something of them."""
    generator = np.random.default_rng(5)
    labels = generator.choice([0, 1, 3, 4, 6], 300, p=[0.5, 0.25, 0.15, 0.06, 0.04])
    logits = generator.normal(size=(300, 7)) + 1.5 * np.eye(7)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_all_figures_are_those_of_scikit_learn(random_answer):
    probabilities, labels = random_answer
    predicted = probabilities.argmax(axis=1)
    assert set(predicted) == set(range(7))
    scores = score_vignettes(probabilities, labels, list("abcdefg"))
    macro = {"average": "macro", "labels": np.unique(labels), "zero_division": 0}
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.recall_score(labels, predicted, **macro),
        "macro_precision": metrics.precision_score(labels, predicted, **macro),
        "macro_recall": metrics.recall_score(labels, predicted, **macro),
        "macro_f1": metrics.f1_score(labels, predicted, **macro),
        "top3_accuracy": metrics.top_k_accuracy_score(labels, probabilities, k=3, labels=np.arange(7)),
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert scores["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()


def test_the_order_of_the_vignettes_does_not_matter(random_answer):
    probabilities, labels = random_answer
    scores = score_vignettes(probabilities, labels, list("abcdefg"))
    assert score_vignettes(probabilities[::-1], labels[::-1], list("abcdefg")) == scores


def test_the_scores_are_plain_values(random_answer):
    scores = score_vignettes(*random_answer, list("abcdefg"), dict.fromkeys("abcdefg", True) | {"a": False})
    assert json.loads(json.dumps(scores)) == scores


def test_living_balanced_accuracy_by_hand():
    # a and b live, c does not. The living: 0.6 found, though c leads; 0.4 missed. Not living: 0.2 and 0.5 are right,
    # since only more than one half lives, and 0.9 is wrong.
    probabilities = np.array([[0.3, 0.3, 0.4], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8], [0.25, 0.25, 0.5], [0.9, 0, 0.1]])
    scores = score_vignettes(
        probabilities, np.array([0, 1, 2, 2, 2]), ["a", "b", "c"], {"a": True, "b": True, "c": False}
    )
    assert scores["living_balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Where 0.3 of the training lives, 0.4 is found too, and 0.5 is wrong beside 0.9.
    known = ["a", "b", "c"], {"a": True, "b": True, "c": False}
    strict = score_vignettes(probabilities, np.array([0, 1, 2, 2, 2]), *known, living_share=0.3)
    assert strict["living_balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)


def test_without_knowing_what_lives_there_is_no_living_balanced_accuracy():
    assert "living_balanced_accuracy" not in score_vignettes(sure(PREDICTED), LABELS, NAMES)


def test_intervals_are_those_of_vignettes_drawn_one_by_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    predicted = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
    scores = score_vignettes(sure(predicted, 3), labels, NAMES[:3])
    drawn = []
    for _ in range(1000):
        rows = rng.integers(0, 300, 300)
        macro = metrics.precision_recall_fscore_support(labels[rows], predicted[rows], average="macro")[:3]
        drawn.append([(predicted == labels)[rows].mean(), *macro])
    for name, values in zip(
        ("accuracy", "macro_precision", "macro_recall", "macro_f1"), np.transpose(drawn), strict=True
    ):
        ends = scores["intervals"][name]
        assert (ends["low"], ends["high"]) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.01)
        assert ends["low"] < scores[name] < ends["high"]


def test_the_calibration_error_is_the_gap_of_confidence_and_accuracy():
    # All six are given 0.7, three are right.
    assert score_vignettes(sure(PREDICTED), LABELS, NAMES)["ece"] == pytest.approx(0.2)
