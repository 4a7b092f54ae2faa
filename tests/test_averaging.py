"""averaging: means by hand, with fakes instead of models."""

from dataclasses import replace

import numpy as np
import pytest

from plankton_keras.averaging import over_models, over_turns, turned
from plankton_keras.errors import ArtefactError
from plankton_keras.fusion import Judge, Weights
from plankton_keras.predictors import Classifier, Predictor
from plankton_keras.taxa import living_target

CLASSES = ("non-living", "living")


def pair(living):
    return np.stack([1 - living, living], axis=-1).astype(np.float32)


def says(living):
    """A fake network that gives every pixel one probability."""
    return lambda images: pair(np.full(images.shape, living))


def judges(living):
    return lambda images, sides: pair(np.full(len(images), living))


def predictor(probabilities, digest="a", judge=None, **changed):
    fields = {"classes": CLASSES, "threshold": 0.5, "target": living_target(), "training_scans": {digest: digest}}
    return Predictor(probabilities, judge=judge, digest=digest, source=f"run {digest}", **{**fields, **changed})


def classifier(classify, digest="a", **changed):
    fields = {"classes": CLASSES, "living": None, "living_share": None, "size": 32, **changed}
    return Classifier(classify, digest=digest, source=f"run {digest}", **fields)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", [(2, 5, 5), (3, 4, 4, 1)])
def test_the_eight_turns_are_all_different_and_turn_back(shape):
    images = noise(*shape)
    seen = [(view, back(view)) for view, back in turned(images)]
    assert len({view.tobytes() for view, _ in seen}) == 8
    assert all(np.array_equal(again, images) for _, again in seen)


def test_over_turns_a_network_of_single_pixels_answers_as_before():
    before = predictor(lambda images: pair(images / 255))
    images = noise(2, 8, 8)
    assert over_turns(before).probabilities(images) == pytest.approx(before.probabilities(images), abs=1e-6)


def test_over_turns_what_leans_to_one_side_becomes_even():
    lean = predictor(lambda images: pair(np.broadcast_to(np.linspace(0, 1, 4), images.shape)))
    # Four views give the column's value and its opposite, four the row's: always 0.5 in the mean.
    assert over_turns(lean).probabilities(noise(1, 4, 4)) == pytest.approx(0.5)


def test_over_turns_a_classifier_is_asked_eight_times():
    corner = classifier(lambda images, sides: pair(images[:, 0, 0, 0] / 255))
    images = noise(3, 4, 4, 1)
    # Each of the four corners comes to the front twice.
    mean = images[:, [0, 0, -1, -1], [0, -1, 0, -1], 0].mean(axis=1) / 255
    assert over_turns(corner).classify(images, np.ones((3, 1)))[:, 1] == pytest.approx(mean)


def test_models_are_averaged_by_hand():
    two = over_models([predictor(says(0.2), threshold=0.3), predictor(says(0.8), "b", threshold=0.4)])
    assert two.probabilities(noise(1, 4, 4)) == pytest.approx(0.5)
    assert two.threshold == pytest.approx(0.35)
    assert (two.source, two.training_scans) == ("run a and run b", {"a": "a", "b": "b"})
    assert two.judge is None
    assert over_models([classifier(judges(0.1)), classifier(judges(0.4), "b")]).classify(
        noise(1, 4, 4, 1), np.ones((1, 1))
    ) == pytest.approx(np.array([[0.75, 0.25]]))


def test_judges_are_averaged_with_their_weights():
    first, second = Weights.alone(32), replace(Weights.alone(32), pixel=1.0, object=0.0, bias=-1.0)
    judge = over_models(
        [predictor(says(0), "a", Judge(judges(0.2), first)), predictor(says(0), "b", Judge(judges(0.4), second))]
    ).judge
    assert judge.classify(noise(2, 4, 4, 1), np.ones((2, 1)))[:, 1] == pytest.approx(0.3)
    assert judge.weights == replace(first, pixel=0.5, object=0.5, bias=-0.5)


def test_judges_of_other_candidates_are_left_out():
    first, second = Weights.alone(32), replace(Weights.alone(32), min_area=7)
    models = [predictor(says(0), "a", Judge(judges(0), first)), predictor(says(0), "b", Judge(judges(0), second))]
    assert over_models(models).judge is None
    assert over_models([models[0], predictor(says(0), "c")]).judge is None


def test_without_a_judge_the_thresholds_of_the_networks_alone_are_averaged():
    def models(*judged):
        for digest, judge, threshold, alone in zip("ab", judged, (0.7, 0.5), (0.3, None), strict=True):
            yield predictor(says(0), digest, judge, threshold=threshold, pixel_threshold=alone)

    judge = Judge(judges(0.2), Weights.alone(64))
    both, one = (over_models(list(models(judge, other))) for other in (judge, None))
    assert (both.threshold, both.pixel_threshold) == (pytest.approx(0.6), pytest.approx(0.4))
    assert (one.threshold, one.pixel_threshold) == (pytest.approx(0.4), pytest.approx(0.4))


def test_the_digest_of_an_average_is_that_of_its_models_in_order():
    models = [predictor(says(0), name) for name in "ab"]
    assert over_models(models).digest not in {"a", "b", over_models(models[::-1]).digest}
    assert len(over_models(models).digest) == 64


def test_one_model_is_its_own_average():
    only = predictor(says(0.2))
    assert over_models([only]) is only


@pytest.mark.parametrize(
    "models",
    [
        [predictor(says(0)), predictor(says(0), "b", classes=("ground", "other"))],
        [classifier(judges(0)), classifier(judges(0), "b", size=64)],
    ],
)
def test_models_of_other_tasks_are_refused(models):
    with pytest.raises(ArtefactError) as caught:
        over_models(models)
    assert str(caught.value) == (
        "run a and run b have other classes, or vignettes of another size.\n"
        "Expected: models of one task.\n"
        "Fix: give those that were trained on the same records."
    )


def test_a_model_that_is_given_twice_is_refused():
    with pytest.raises(ArtefactError) as caught:
        over_models([predictor(says(0)), predictor(says(1), "b"), predictor(says(0))])
    assert str(caught.value) == "run a is given twice.\nExpected: each model once.\nFix: leave one out."


def test_what_one_model_confuses_says_nothing_of_averages():
    one = classifier(judges(0.2), confusion=np.eye(2))
    assert over_models([one]).confusion is not None
    assert over_models([one, classifier(judges(0.2), "b", confusion=np.eye(2))]).confusion is None
    assert over_turns(one).confusion is None
