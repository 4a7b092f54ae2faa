"""judging: the linear layer against scikit-learn, and what is kept of it, with fakes instead of weights."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plankton_keras import judging
from plankton_keras.config import TrainConfig
from plankton_keras.data.records import read_manifest
from plankton_keras.runs import Run


def samples(classes, rows=60, seed=0):
    """Features that tell the given classes apart, on scales that differ widely."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, rows)
    features = generator.normal(labels[:, None] * [1.0, -0.5, 0.0], 0.7, (rows, 3)) * [1, 100, 0.01]
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2), (0, 2, 4)])
def test_the_linear_layer_answers_as_scikit_learn_does(classes):
    features, labels = samples(classes)
    kernel, bias = judging.fit_linear(features, labels, 5)
    assert (kernel.dtype, kernel.shape, bias.shape) == (np.float32, (3, 5), (5,))
    answers = keras.ops.convert_to_numpy(keras.ops.softmax(features @ kernel + bias))
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)
    expected = LogisticRegression(C=judging.PENALTY, max_iter=500).fit(scaled, labels).predict_proba(scaled)
    assert answers[:, classes] == pytest.approx(expected, abs=1e-4)


def test_a_class_without_a_row_never_wins():
    features, labels = samples((0, 2))
    kernel, bias = judging.fit_linear(features, labels, 3)
    assert (features @ kernel + bias).argmax(axis=1).tolist().count(1) == 0


def test_vignettes_of_one_class_fit_no_classifier():
    vignettes = np.zeros((4, 32, 32, 1), np.uint8), np.ones((4, 1), np.float32), np.zeros(4, int)
    assert judging.fit_classifier(vignettes, 2, "none") is None


@pytest.fixture
def run(tmp_path):
    """A run whose network finds what is darker than 100, living or not."""
    image = keras.Input((None, None, 1))
    logits = keras.layers.Conv2D(2, 1, name="logits")(image)
    model = keras.Model(image, logits)
    model.get_layer("logits").set_weights([np.array([[[[0.0, -0.2]]]]), np.array([0.0, 20.0])])
    run = Run(Path(tmp_path))
    model.save(run.model)
    return run


def complete(run, records, **settings):
    config = TrainConfig(**{"weights": "none", **settings})
    return judging.complete(run, records, read_manifest(records), config)


def test_the_judge_is_not_asked_with_pixels_only(run, tiny_records):
    found = complete(run, tiny_records, pixels_only=True)
    assert "objects" not in found
    assert found["foreground"] == found["pixel"]["threshold"]
    assert not run.judge.exists()
    assert json.loads(run.thresholds.read_text()) == {**found, "chosen_by": "F1 on the validation scans"}


def test_a_judge_that_brings_too_little_is_not_kept(run, tiny_records, monkeypatch):
    # The fake network is right but for the soft edges: no judge can bring much.
    assert complete(run, tiny_records)["pixel"]["f1"] > 0.95
    monkeypatch.setattr(judging, "WORTH", 1.0)
    assert "objects" not in complete(run, tiny_records)
    assert not run.judge.exists()


def test_a_judge_that_helps_is_kept_and_shares_the_threshold_of_the_network(run, tiny_records, monkeypatch):
    monkeypatch.setattr(judging, "WORTH", -1.0)
    found = complete(run, tiny_records)
    assert found["foreground"] == found["pixel"]["threshold"]
    assert run.judge.is_file()


def test_the_shift_moves_the_best_threshold_of_all_evidence_to_that_of_the_network(run, tiny_records, monkeypatch):
    scored, applied = [], judging._score

    def watched(seen, weights):
        scored.append((seen, applied(seen, weights)))
        return scored[-1][1]

    monkeypatch.setattr(judging, "_score", watched)
    monkeypatch.setattr(judging, "WORTH", -1.0)
    found = complete(run, tiny_records)
    seen, (_, fused, weights) = max(scored, key=lambda each: each[1][0])
    shifted = judging.Weights(**found["objects"])
    assert shifted == replace(weights, bias=shifted.bias)

    def masks(threshold, each):
        for evidence, classes, probability, _ in seen:
            copied = np.array(probability)
            evidence.apply(each, np.array(classes), copied)
            yield copied >= round(threshold * 255)

    before, after = masks(fused, weights), masks(found["foreground"], shifted)
    assert all((one == other).mean() > 0.999 for one, other in zip(before, after, strict=True))
