"""judging: the linear layer against scikit-learn, and what is kept of it, with fakes instead of weights."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from plankton_keras import judging, prediction
from plankton_keras.config import PredictConfig, TrainConfig
from plankton_keras.data.records import read_manifest, rebuild_scans
from plankton_keras.errors import SettingError
from plankton_keras.models import tempered
from plankton_keras.runs import Run
from plankton_keras.scans import ArrayScan


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


@pytest.mark.parametrize("model", ["unet", "resnet50_unet"])
def test_weights_that_the_judge_cannot_have_are_said_before_the_training(model, monkeypatch):
    def refuse(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.applications.MobileNet", refuse)
    with pytest.raises(SettingError, match="--weights imagenet: URL fetch failure"):
        judging.check_start(TrainConfig(model=model, weights="imagenet"))
    judging.check_start(TrainConfig(model=model, weights="none"))


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
    written = run.read_thresholds()
    curves, confidences = written.pop("curves"), written.pop("confidences")
    assert len(confidences) == len(list(read_manifest(tiny_records).sources)) - 3
    assert written == {**found, "chosen_by": "F1 on the validation scans"}
    # The threshold with the best F1 is one of the curve, and has that F1.
    place = curves["threshold"].index(round(found["foreground"], 4))
    assert curves["f1"][place] == max(curves["f1"]) == pytest.approx(found["f1"], abs=1e-4)


def test_a_judge_that_brings_too_little_is_not_kept(run, tiny_records, monkeypatch):
    # The fake network is right but for the soft edges: no judge can bring much.
    assert complete(run, tiny_records)["pixel"]["f1"] > 0.95
    monkeypatch.setattr(judging, "WORTH", 1.0)
    assert "objects" not in complete(run, tiny_records)
    assert not run.judge.exists()


def test_a_judge_that_helps_is_kept_with_the_weights_that_scored_best(run, tiny_records, monkeypatch):
    scored, weighed = [], judging._score

    def watched(seen, weights):
        scored.append((seen, weighed(seen, weights)))
        return scored[-1][1]

    monkeypatch.setattr(judging, "_score", watched)
    monkeypatch.setattr(judging, "WORTH", -1.0)
    found = complete(run, tiny_records)
    assert run.judge.is_file()
    seen, (f1, fused, weights) = max(scored, key=lambda each: each[1][0])
    calibrated = judging.Weights(**found["objects"])
    assert found["f1"] == f1
    assert replace(calibrated, temperature=1.0, shift=0.0) == weights
    # Neither the temperature nor the one threshold for both changes what is found, but for rounding to 1/255.
    for evidence, classes, probability, _ in seen:
        plain, final = np.array(probability), np.array(probability)
        evidence.apply(weights, np.array(classes), plain)
        evidence.apply(calibrated, np.array(classes), final)
        labels = np.zeros(plain.shape, np.int32)
        for top, bottom, places, own in evidence.candidates.over_bands(lambda *band: band):
            labels[top:bottom].ravel()[places] = own
        cut = evidence.cut[labels]
        expected = np.where(cut, plain >= round(found["pixel"]["threshold"] * 255), plain >= round(fused * 255))
        assert (expected == (final >= round(found["foreground"] * 255))).mean() > 0.999


def test_what_is_weighed_is_what_predict_asks_for(run, tiny_records, monkeypatch):
    # A network whose answer depends on all that it sees, as one does that looks for the ground.
    image = keras.Input((None, None, 1))
    around = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    logits = keras.layers.Conv2D(2, 1, name="logits")(keras.layers.Subtract()([image, around]))
    model = keras.Model(image, logits)
    model.get_layer("logits").set_weights([np.array([[[[0.0, -0.02]]]]), np.array([0.0, -1.0])])
    monkeypatch.setattr(judging, "load_model", lambda path: model)
    monkeypatch.setattr(prediction, "JUDGED_TILE", 128)
    seen, weighed = [], judging._score
    monkeypatch.setattr(judging, "_score", lambda each, weights: seen.append(each) or weighed(each, weights))
    calibrated = tempered(model, complete(run, tiny_records)["temperature"])

    def probabilities(images):
        return keras.ops.convert_to_numpy(keras.ops.softmax(calibrated(images[..., None].astype(np.float32))))

    (scan,) = (image for image, _ in rebuild_scans(tiny_records, read_manifest(tiny_records), "val").values())
    (evidence, _, found, _), *_ = seen[0]
    judge = SimpleNamespace(look=lambda scan, bands: evidence)
    whole, asked = (
        prediction.predict_maps(ArrayScan("c", scan), probabilities, PredictConfig(), judge=each)[2]
        for each in (None, judge)
    )
    assert np.array_equal(found, asked)
    assert not np.array_equal(whole[asked > 0], asked[asked > 0])


def test_probabilities_become_what_they_say(run, tiny_records):
    # This network is right and far too unsure, ground of 220 has log-odds of -2.4: they are divided by less than 1.
    model = keras.saving.load_model(run.model)
    model.get_layer("logits").set_weights([np.array([[[[0.0, -0.02]]]]), np.array([0.0, 2.0])])
    model.save(run.model)
    assert complete(run, tiny_records, pixels_only=True)["temperature"] < 1
    assert run.temperature() == json.loads(run.thresholds.read_text())["temperature"]


def test_validation_tells_what_a_classifier_takes_for_what(monkeypatch, tmp_path):
    # Of three vignettes of a one is taken for c; of b there is none; of two of c one is taken for a.
    labels, logits = np.array([0, 0, 0, 2, 2]), np.array([[3, 0, 1], [2, 0, 1], [0, 0, 1], [0, 1, 2], [9, 1, 2]])
    vignettes = np.zeros((5, 8, 8, 1), np.uint8), np.ones((5, 1), np.float32), labels.astype(np.int32)
    manifest, model = mock.Mock(classes=("a", "b", "c")), mock.Mock()
    model.predict.return_value = logits.astype(np.float32)
    monkeypatch.setattr(judging, "read_vignettes", lambda records, manifest, split: vignettes * (split == "val"))
    monkeypatch.setattr(judging, "load_model", lambda path: model)
    found = judging.calibrate(Run(tmp_path), "records", manifest)
    assert found["confusion"] == {"classes": ["a", "b", "c"], "counts": [[2, 0, 1], [0, 0, 0], [1, 0, 1]]}
    assert Run(tmp_path).confusion() == found["confusion"]
    assert Run(tmp_path).temperature() == found["temperature"]


@pytest.mark.parametrize("content", [None, {"temperature": 0.5}])
def test_older_runs_do_not_tell_it(content, tmp_path):
    if content:
        (tmp_path / "thresholds.json").write_text(json.dumps(content))
    assert Run(tmp_path).confusion() is None
