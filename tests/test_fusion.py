"""fusion: the network's word and the judge's, weighed by hand and by fit. Fakes instead of models."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from plankton_keras.candidates import find_candidates
from plankton_keras.config import PredictConfig
from plankton_keras.fusion import Evidence, Judge, Weights, log_odds, mirrored
from plankton_keras.prediction import predict_scan
from plankton_keras.scans import ArrayScan
from plankton_keras.tiles import Window
from plankton_keras.weighing import best_edge, best_threshold, fit_weights

ALONE = Weights.alone(16)
LN1_5, LN4, LN9 = np.log([1.5, 4, 9])
# Rows and columns 49 to 80 are dark: the mean of 3 x 3 pixels reaches one further.
SQUARE = (50, 50, 80, 80, 40)
BESIDE = (50, 150, 80, 180, 100)
APART = (120, 50, 150, 80, 40)


def drawn(*rectangles, height=200, width=300):
    """A scan of gray 200 with rectangles `(top, left, bottom, right, gray)`."""
    pixels = np.full((height, width), 200, np.uint8)
    for top, left, bottom, right, gray in rectangles:
        pixels[top:bottom, left:right] = gray
    return ArrayScan("a", pixels)


def evidence_of(scan, judged, places=()):
    bands = list(itertools.pairwise([0, *places, scan.height]))
    return Evidence(find_candidates(scan, bands), np.array(judged, np.float32))


def labels_of(evidence):
    labels = np.zeros(evidence.candidates.dark.shape, np.int32)

    def fill(top, bottom, places, own):
        labels[top:bottom].ravel()[places] = own

    list(evidence.candidates.over_bands(fill))
    return labels


def darkness_as_probability(batch):
    """A fake network: the darker, the likelier."""
    foreground = 1 - batch.astype(np.float32) / 255
    return np.stack([1 - foreground, foreground], axis=-1)


def by_darkness(images, sides):
    """A fake judge: living is what has a pixel darker than 60."""
    living = images.min(axis=(1, 2, 3)) < 60
    return np.where(living[:, None], [[0.1, 0.9]], [[0.9, 0.1]]).astype(np.float32)


def unsure(images, sides):
    """A fake judge that thinks likewise, but not quite so."""
    return np.where(by_darkness(images, sides) > 0.5, np.float32(0.6), np.float32(0.4))


def test_log_odds_are_symmetric_grow_and_are_kept_within_those_of_1_and_254():
    odds = log_odds(np.arange(256, dtype=np.uint8))
    assert odds[[51, 204]] == pytest.approx([-LN4, LN4])
    assert odds == pytest.approx(-odds[::-1])
    assert (np.diff(odds[1:255]) > 0).all()
    assert (odds[0], odds[255]) == (odds[1], odds[254])
    assert odds[255] == pytest.approx(np.log(254))
    assert np.rint(255 / (1 + np.exp(-odds[1:255]))).tolist() == list(range(1, 255))


def test_weights_come_back_from_json():
    weights = Weights(0.5, -1.25, 2.0, 0.1, 0.9, 77, 64)
    assert Weights(**json.loads(json.dumps(weights.to_json()))) == weights


def test_a_judge_sees_all_candidates_and_those_in_doubt_from_all_sides():
    calls, answers = [], [[0.01, 0.5, 0.98], [0.3], [0.1], [0.3]]

    def classify(images, sides):
        other = np.array(answers[len(calls)], np.float32)
        calls.append((images, sides))
        return np.stack([other, 1 - other], axis=1)

    scan = drawn(SQUARE, (100, 100, 150, 110, 40), (140, 110, 150, 120, 40), (150, 200, 190, 280, 40))
    evidence = Judge(classify, ALONE).look(scan, [(0, 70), (70, 200)])
    # (0.5 + 0.3 + 0.1 + 0.3) / 4.
    assert evidence.judged == pytest.approx(np.array([[0.01, 0.99], [0.3, 0.7], [0.98, 0.02]]))
    images, sides = evidence.candidates.vignettes(16)
    assert np.array_equal(calls[0][0], images)
    assert [sides.tolist() for _, sides in calls] == [sides.tolist(), [[58]], [[58]], [[58]]]
    for (seen_images, _), view in zip(calls[1:], mirrored(images)[1:], strict=True):
        assert np.array_equal(seen_images, view[1:2])


@pytest.mark.parametrize(("changed", "count"), [({}, 3), ({"min_area": 200}, 2), ({"darkness": 0.4}, 1)])
def test_the_weights_say_what_a_candidate_is(changed, count):
    judge = Judge(by_darkness, replace(ALONE, **changed))
    assert len(judge.look(drawn(SQUARE, BESIDE, (120, 50, 129, 59, 40)), [(0, 200)]).judged) == count


def test_without_candidates_the_judge_is_not_asked_and_nothing_is_found():
    evidence = Judge(None, ALONE).look(drawn(), [(0, 90), (90, 200)])
    classes, probability = np.ones((200, 300), np.uint8), np.full((200, 300), 255, np.uint8)
    assert len(evidence.judged) == 0
    assert not evidence.inside(Window(0, 0, 200, 300))
    evidence.apply(ALONE, classes, probability)
    assert not classes.any()
    assert not probability.any()


def test_a_candidate_reaches_into_a_window_that_has_a_pixel_of_its_box():
    evidence = evidence_of(drawn(SQUARE, BESIDE), [[0.5, 0.5]] * 2)
    for inside in ((60, 60, 2, 2), (0, 0, 50, 300), (80, 0, 20, 300), (0, 0, 200, 50), (0, 80, 200, 20)):
        assert evidence.inside(Window(*inside))
    for outside in ((0, 0, 49, 300), (81, 0, 20, 300), (0, 0, 200, 49), (0, 81, 200, 20), (100, 149, 50, 100)):
        assert not evidence.inside(Window(*outside))


def test_the_evidence_of_a_candidate_in_two_bands_by_hand():
    evidence = evidence_of(drawn(SQUARE, BESIDE, APART), [[0.4, 0.6], [0.6, 0.4], [0.1, 0.9]], places=(57,))
    probability = np.full((200, 300), 51, np.uint8)
    probability[57:, :100] = 204
    rows = list(evidence.over_bands(probability, lambda *row: row))
    assert [(top, bottom) for top, bottom, *_ in rows] == [(0, 57), (57, 200)]
    for (_, _, _, inside, found), pixel in zip(rows, (-LN4, LN4), strict=True):
        assert (found.shape, found.dtype) == ((len(inside), 3), np.float32)
        # 8 rows of -ln 4 and 24 of ln 4; the second has -ln 4 throughout; of the third the judge is sure.
        assert found[inside == 1] == pytest.approx(np.tile([pixel, LN4 / 2, LN1_5], (np.sum(inside == 1), 1)))
        assert found[inside == 2] == pytest.approx(np.tile([-LN4, -LN4, -LN1_5], (np.sum(inside == 2), 1)))
        assert found[inside == 3] == pytest.approx(np.tile([0, 0, LN9], (np.sum(inside == 3), 1)))


@pytest.mark.parametrize("places", [(), (57, 100)])
def test_the_pixel_alone_keeps_the_network_inside_candidates_and_finds_nothing_outside(places):
    evidence = evidence_of(drawn(SQUARE, BESIDE), [[0.4, 0.6], [0.6, 0.4]], places)
    probability = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)
    # The log-odds are kept within those of 1 and 254.
    expected = np.where(labels_of(evidence) > 0, probability.clip(1, 254), 0)
    evidence.apply(replace(ALONE, pixel=1.0, object=0.0), np.zeros_like(probability), probability)
    assert np.array_equal(probability, expected)


@pytest.mark.parametrize("places", [(), (57, 100)])
def test_the_judge_alone_gives_each_candidate_its_probability_and_likeliest_class_but_0(places):
    evidence = evidence_of(drawn(SQUARE, BESIDE), [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], places)
    rng = np.random.default_rng(0)
    classes, probability = rng.integers(1, 3, (200, 300), np.uint8), rng.integers(0, 256, (200, 300), np.uint8)
    evidence.apply(ALONE, classes, probability)
    labels = labels_of(evidence)
    assert np.array_equal(probability, np.array([0, 204, 102])[labels])
    assert np.array_equal(classes, np.array([0, 2, 1])[labels])


def test_all_evidence_is_added_by_its_weights():
    weights = replace(ALONE, pixel=0.5, mean=0.25, object=-1.0, bias=LN4)
    # In doubt 1.75 ln 4 - ln 1.5, and 255 / (1 + 1.5 / 4 ** 1.75) = 225.1.
    # Sure ln 4 - ln 9, and 255 / (1 + 9 / 4) = 78.5.
    for word, expected in ((0.6, 225), (0.9, 78)):
        evidence, probability = evidence_of(drawn(SQUARE), [[1 - word, word]]), np.full((200, 300), 204, np.uint8)
        evidence.apply(weights, np.zeros_like(probability), probability)
        assert set(np.unique(probability)) == {0, expected}


def test_log_odds_are_divided_by_the_temperature_in_the_end_and_shifted_where_the_network_decides():
    # One candidate inside, judged 0.8: ln 4 / 2, a probability of 2/3. One at the edge, 204/255: (ln 4 + ln 4) / 2.
    evidence = evidence_of(drawn((0, 50, 30, 80, 40), (100, 150, 130, 180, 40)), [[0.2, 0.8]] * 2)
    probability = np.full((200, 300), 204, np.uint8)
    evidence.apply(replace(ALONE, temperature=2.0, shift=LN4), np.ones_like(probability), probability)
    labels = labels_of(evidence)
    edge = labels == labels[10, 60]
    assert set(np.unique(probability[edge])) == {204}
    assert set(np.unique(probability[(labels > 0) & ~edge])) == {170}


@pytest.mark.parametrize("box", [(0, 50, 30, 80), (170, 50, 200, 80), (50, 0, 80, 30), (50, 270, 80, 300)])
def test_what_the_edge_of_the_scan_cuts_is_left_to_the_network(box):
    evidence = evidence_of(drawn((*box, 40), (100, 150, 130, 180, 40)), [[0.2, 0.2, 0.6]] * 2)
    rng = np.random.default_rng(0)
    classes, probability = rng.integers(1, 3, (200, 300), np.uint8), rng.integers(1, 255, (200, 300), np.uint8)
    fused, likeliest = probability.copy(), classes.copy()
    evidence.apply(replace(ALONE, bias=5.0, edge=0.5), likeliest, fused)
    labels = labels_of(evidence)
    cut = labels == 1 + int(np.argmin(np.abs(evidence.candidates.objects.boxes - box).sum(axis=1)))
    assert np.array_equal(fused[cut], probability[cut])
    assert np.array_equal(likeliest[cut], classes[cut])
    assert set(likeliest[(labels > 0) & ~cut]) == {2}
    # Of the other one the pixels beside the square, and its corners, are less than half as dark as black.
    assert np.count_nonzero(fused[(labels > 0) & ~cut] > 250) == 30 * 30 - 4


def test_pixels_brighter_than_the_edge_do_not_belong_to_the_object():
    # A black square in the middle of a pale one of 184, which is 0.92 of the ground.
    evidence = evidence_of(drawn((40, 40, 90, 90, 184), SQUARE), [[0.2, 0.8]])
    masks = []
    for edge in (0.95, 0.93, 0.9, 0.1):
        probability = np.full((200, 300), 204, np.uint8)
        evidence.apply(replace(ALONE, edge=edge), np.ones_like(probability), probability)
        assert set(np.unique(probability)) <= {0, 204}
        masks.append(np.count_nonzero(probability))
    # At the border a third of the mean is ground, 0.947, and in the corners five ninths, 0.964. The black square and
    # one pixel around it are darker than 0.9.
    assert masks == [50 * 50 - 4, 50 * 50 - 4 * 49, 32 * 32, 0]


def test_what_the_edge_of_the_scan_cuts_does_not_count_in_the_fit():
    evidence = evidence_of(drawn((0, 50, 30, 80, 40)), [[0.2, 0.8]])
    truth = (labels_of(evidence) > 0).astype(np.uint8)
    truth[:10] = 0
    assert fit_weights([(evidence, truth, truth * 200, truth)], ALONE) == []


def seen(judge_right, network_right, seed):
    """Evidence, maps and truth of a scan with 48 squares, every other of them living; who is not right says noise."""
    rng = np.random.default_rng(seed)
    living = rng.permutation(np.arange(48) % 2 == 0)
    places = itertools.product(range(10, 250, 40), range(10, 330, 40))
    scan = drawn(*((top, left, top + 20, left + 20, 40) for top, left in places), height=260, width=330)
    word = np.where(living, 0.6, 0.4) if judge_right else rng.uniform(0.35, 0.65, 48)
    evidence = evidence_of(scan, np.stack([1 - word, word], axis=1), places=(101,))
    truth = np.concatenate([[0], living]).astype(np.uint8)[labels_of(evidence)]
    probability = np.where(truth > 0, 200, 55) + rng.integers(-50, 51, truth.shape)
    noise = rng.integers(0, 256, truth.shape)
    return evidence, np.zeros_like(truth), (probability if network_right else noise).astype(np.uint8), truth


@pytest.mark.parametrize("judge_right", [True, False])
def test_the_better_evidence_is_trusted_and_the_fused_maps_find_the_living(judge_right):
    scans = [seen(judge_right, not judge_right, seed) for seed in (0, 1)]
    by_pixel, by_candidate = fit_weights(scans, ALONE)
    assert by_candidate.pixel == 0
    for weights in (by_pixel, by_candidate):
        judge, network = weights.object, weights.pixel + weights.mean
        better, worse = (judge, network) if judge_right else (network, judge)
        assert better > max(1, 4 * abs(worse))
        assert replace(weights, pixel=0.0, mean=0.0, object=1.0, bias=0.0) == ALONE
        maps = []
        for evidence, classes, probability, truth in scans:
            fused = probability.copy()
            evidence.apply(weights, classes.copy(), fused)
            maps.append((fused, truth))
        assert best_threshold(maps)[0] == 1


def test_large_candidates_weigh_more_in_the_fit_but_less_than_their_area():
    # Four living squares of one area, and one of four times it that is not: the same word is said of all.
    places = [(10, 10 + 40 * index, 30, 30 + 40 * index, 40) for index in range(4)]
    evidence = evidence_of(drawn(*places, (100, 100, 142, 142, 40)), [[0.5, 0.5]] * 5)
    labels = labels_of(evidence)
    truth = ((labels > 0) & (labels < 5)).astype(np.uint8)
    (_, weights) = fit_weights([(evidence, truth, np.full(truth.shape, 127, np.uint8), truth)], ALONE)
    areas = evidence.candidates.objects.areas
    roots = np.sqrt(areas[:4]).sum() / np.sqrt(areas[4])
    odds = weights.mean * log_odds(127) + weights.object * log_odds(127.5) + weights.bias
    assert odds == pytest.approx(np.log(roots), abs=0.02)


def test_there_are_no_weights_where_all_candidates_are_of_one_kind_or_there_are_none():
    evidence, classes, probability, truth = seen(True, True, seed=0)
    for level in range(3):
        assert fit_weights([(evidence, classes, probability, np.full_like(truth, level))], ALONE) == []
    empty = np.zeros((200, 300), np.uint8)
    assert fit_weights([(evidence_of(drawn(), np.zeros((0, 2))), empty, empty, empty)], ALONE) == []


@pytest.mark.parametrize("shape", [(9, 7), (1100, 5)])
def test_the_best_threshold_is_the_best_of_all_255(shape):
    rng = np.random.default_rng(shape[0])
    truths = [rng.integers(0, 3, shape, np.uint8), (rng.random(shape) < 0.1).astype(np.uint8)]
    maps = [((truth > 0) * 60 + rng.integers(0, 196, shape)).astype(np.uint8) for truth in truths]
    scores = np.zeros(256)
    for level in range(1, 256):
        found, living = np.stack(maps) >= level, np.stack(truths) > 0
        scores[level] = 2 * np.sum(found & living) / (found.sum() + living.sum())
    f1, threshold = best_threshold(iter(zip(maps, truths, strict=True)))
    assert f1 == pytest.approx(scores.max())
    assert scores[round(threshold * 255)] == scores.max()


@pytest.mark.parametrize(("steps", "expected"), [(30, 1 - 30 / 250), (13, None)])
def test_the_edge_is_where_the_mask_ends_if_that_brings_something(steps, expected):
    rng = np.random.default_rng(0)
    dark = rng.integers(13, 50, (2, 1100, 40)).astype(np.uint8)
    dark[:, :, :20] = 0
    truth = (dark >= steps).astype(np.uint8) * 2
    probability = np.where(dark > 0, 180, 0).astype(np.uint8)
    # As unlikely as not there: the threshold is the lowest above them.
    probability[:, :5], truth[:, :5] = np.minimum(probability[:, :5], 90), 0
    f1, threshold, edge = best_edge(iter(zip(probability, truth, dark, strict=True)))
    assert (f1, round(threshold * 255), edge) == (1, 91, expected)


def test_the_best_edge_and_threshold_are_the_best_of_all():
    rng = np.random.default_rng(1)
    dark, probability = rng.integers(0, 90, (60, 50)).astype(np.uint8), rng.integers(0, 256, (60, 50)).astype(np.uint8)
    truth = (dark / 90 + probability / 255 + rng.normal(0, 0.2, dark.shape) > 1.1).astype(np.uint8)
    scores = np.zeros((62, 256))
    for level, least in itertools.product(range(62), range(1, 256)):
        found = (dark >= level) & (probability >= least)
        scores[level, least] = 2 * np.sum(found & (truth > 0)) / (found.sum() + truth.sum())
    f1, threshold, edge = best_edge([(probability, truth, dark)])
    assert f1 == pytest.approx(scores.max())
    assert scores[round((1 - edge) * 250), round(threshold * 255)] == scores.max()


def predict(scan, judge=None, network=darkness_as_probability, tile=128, context=16, batch_size=1):
    config = PredictConfig(tile=tile, context=context, batch_size=batch_size, min_area=0)
    return predict_scan(scan, network, 0.5, config, judge=judge)


# 4 x 4 tiles, whose owned parts meet at 109, 199 and 291.
@pytest.mark.parametrize(("places", "count"), [([], 0), ([(65, 65)], 1), ([(95, 95)], 4), ([(20, 20), (350, 30)], 2)])
def test_tiles_without_candidates_are_not_computed(places, count):
    calls = []

    def network(batch):
        calls.append(len(batch))
        return darkness_as_probability(batch)

    scan = drawn(*((top, left, top + 30, left + 30, 40) for top, left in places), height=400, width=400)
    assert len(predict(scan, Judge(unsure, ALONE), network).objects) == len(places)
    assert calls == [1] * count
    # Nor are those whose candidates the judge is sure of.
    assert len(predict(scan, Judge(by_darkness, ALONE), network).objects) == len(places)
    assert calls == [1] * count
    predict(scan, None, network)
    assert len(calls) == count + 16


def test_what_the_judge_calls_not_living_vanishes_and_the_living_is_found_whole():
    scan = drawn(SQUARE, BESIDE)
    assert len(predict(scan).objects) == 2
    prediction = predict(scan, Judge(by_darkness, ALONE))
    # Black is living, gray is not: 0.9 * 255 = 229.5 and 0.1 * 255 = 25.5.
    assert prediction.objects.boxes.tolist() == [[49, 49, 81, 81]]
    assert prediction.objects.areas.tolist() == [1024]
    assert prediction.objects.scores == pytest.approx([0.9], abs=1 / 255)
    assert np.array_equal(prediction.classes > 0, prediction.probability > 128)
    assert prediction.probability[60, 160] in (25, 26)


@pytest.mark.parametrize(("tile", "context", "batch_size"), [(128, 0, 1), (128, 40, 3), (192, 16, 2)])
def test_the_result_does_not_depend_on_the_tiles(tile, context, batch_size):
    judge = Judge(unsure, replace(ALONE, pixel=0.4, mean=0.3, object=0.5, bias=-0.2))
    scan = drawn(SQUARE, BESIDE, (90, 20, 140, 280, 30), (30, 100, 190, 110, 50), (170, 200, 195, 230, 100))
    expected = predict(scan, judge, tile=512)
    assert len(expected.objects) == 2
    prediction = predict(scan, judge, tile=tile, context=context, batch_size=batch_size)
    assert np.array_equal(prediction.probability, expected.probability)
    assert np.array_equal(prediction.classes, expected.classes)
    for name in ("boxes", "areas", "scores"):
        assert np.array_equal(getattr(prediction.objects, name), getattr(expected.objects, name))


def by_mean_gray(images, sides):
    """A fake judge that is sure of some objects and in doubt about others."""
    living = (images.mean(axis=(1, 2, 3)) / 255).clip(0.02, 0.98)
    return np.stack([1 - living, living], axis=1).astype(np.float32)


def test_tiles_that_are_not_computed_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    # Faint ones too, and some that the edge cuts.
    boxes = [
        (*place, *(place + rng.integers(12, 70, 2)), rng.integers(20, 185)) for place in rng.integers(0, 880, (60, 2))
    ]
    scan = drawn(*boxes, height=900, width=900)
    judge, shares, calls = Judge(by_mean_gray, replace(ALONE, pixel=0.4, mean=0.3, object=0.5)), [], []

    def network(batch):
        calls.append(len(batch))
        return darkness_as_probability(batch)

    skipping = predict(scan, judge, network)
    shares.append(sum(calls))
    monkeypatch.setattr(Evidence, "inside", lambda *_: True)
    exhaustive = predict(scan, judge, network)
    shares.append(sum(calls) - shares[0])
    assert 0 < shares[0] < 0.9 * shares[1]
    assert len(exhaustive.objects) > 10
    assert np.array_equal(skipping.probability, exhaustive.probability)
    assert np.array_equal(skipping.classes, exhaustive.classes)
    assert np.array_equal(skipping.objects.scores, exhaustive.objects.scores)


def test_progress_ends_with_all_pixels_where_no_tile_is_computed():
    calls, config = [], PredictConfig(tile=128, context=16)
    scan, judge = drawn(SQUARE), Judge(by_darkness, ALONE)
    predict_scan(scan, darkness_as_probability, 0.5, config, lambda *call: calls.append(call), judge)
    assert calls == [(60_000, 60_000)]
