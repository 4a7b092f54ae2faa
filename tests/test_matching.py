"""matching: objects matched by hand, and average precision against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from plankton_keras.matching import Matching, Side, match
from plankton_keras.objects import Objects


def side(ious, areas=None, scores=None, held=None, pixel_mm=np.nan):
    count = len(ious)
    return Side(
        areas=np.full(count, 100) if areas is None else np.array(areas),
        classes=np.ones(count, np.uint8),
        scores=np.ones(count) if scores is None else np.array(scores),
        boxes=np.zeros((count, 4), np.int32),
        ious=np.array(ious, float),
        common=np.zeros(count, np.int64),
        held=np.zeros(count, np.int64) if held is None else np.array(held),
        pixel_mm=np.full(count, pixel_mm),
    )


def objects(areas, scores=None):
    count = len(areas)
    scores = np.ones(count) if scores is None else np.array(scores)
    return Objects(np.arange(1, count + 1), np.ones(count, np.uint8), scores, np.zeros((count, 4)), np.array(areas))


def test_scores_by_hand():
    # 3 true objects, 3 predicted: scores 0.9 hit, 0.8 no hit, 0.7 hit; IoU of the hits 0.8 and 0.6.
    scores = Matching(side([0.6, 0.8, 0]), side([0.6, 0.8, 0], scores=[0.7, 0.9, 0.8])).scores()
    # Precision at the hits: 1/1 and 2/3; each adds a recall of 1/3. PQ: (0.6 + 0.8) / (2 + 1/2 + 1/2).
    expected = {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "ap50": (1 + 2 / 3) / 3, "pq": 1.4 / 3}
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    # Above 0.6 the second hit is none: at 0.6 to 0.75 one of three is found, above that none.
    assert [each["iou"] for each in scores["by_iou"]] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert [each["recall"] for each in scores["by_iou"]] == pytest.approx([2 / 3] * 2 + [1 / 3] * 4 + [0] * 4)
    assert [each["pq"] for each in scores["by_iou"]] == pytest.approx([1.4 / 3] * 2 + [0.8 / 3] * 4 + [0] * 4)
    assert scores["ap"] == pytest.approx((2 * (1 + 2 / 3) / 3 + 4 * (1 / 3)) / 10)


def test_panoptic_quality_of_a_worked_example():
    # Kirillov et al. 2019, figure 2, in numbers: segmentation quality (0.9 + 0.7) / 2, recognition quality 2 / (2 + 1).
    scores = Matching(side([0.9, 0.7, 0]), side([0.9, 0.7, 0])).scores()
    assert scores["pq"] == pytest.approx((1.6 / 2) * (2 / (2 + 0.5 + 0.5)))


def test_ap50_takes_the_best_precision_at_this_recall_or_a_higher_one():
    # Ranked: no hit, hit, hit. Precision 0, 1/2, 2/3; the first hit counts 2/3 too. Two true objects.
    scores = Matching(side([0.9, 0.9]), side([0, 0.9, 0.9], scores=[0.9, 0.8, 0.7])).scores()
    assert scores["ap50"] == pytest.approx(2 / 3)


def test_ap50_is_at_least_that_of_scikit_learn_and_equal_where_precision_only_falls():
    rng = np.random.default_rng(0)
    score, hit = rng.random(40), rng.random(40) < 0.5
    true = side([0.9] * int(hit.sum()))
    assert Matching(true, side(hit * 0.9, scores=score)).scores()["ap50"] >= average_precision_score(hit, score)
    score = hit + rng.random(40) / 2
    ap50 = Matching(true, side(hit * 0.9, scores=score)).scores()["ap50"]
    assert ap50 == pytest.approx(average_precision_score(hit, score)) == pytest.approx(1)


def test_objects_of_one_score_count_together_in_whichever_order_they_come():
    # Of masks without probabilities every score is 1: there is one point, of precision 2/4 and recall 2/3.
    for ious in ([0.9, 0.9, 0, 0], [0, 0, 0.9, 0.9], [0, 0.9, 0.9, 0]):
        assert Matching(side([0.9, 0.9, 0]), side(ious)).scores()["ap50"] == pytest.approx(2 / 3 * 2 / 4)
    rng = np.random.default_rng(0)
    for _ in range(20):
        hit, score = rng.random(30) < 0.5, rng.integers(0, 4, 30) / 4
        true = side([0.9] * int(hit.sum()))
        ap50 = {
            Matching(true, side(hit[order] * 0.9, scores=score[order])).scores()["ap50"]
            for order in (rng.permutation(30) for _ in range(5))
        }
        assert max(ap50) - min(ap50) < 1e-12
        assert min(ap50) >= average_precision_score(hit, score) - 1e-12


@pytest.mark.parametrize(("true", "predicted"), [([], []), ([0] * 4, []), ([], [0])])
def test_without_a_match_all_scores_are_0(true, predicted):
    scores = Matching(side(true), side(predicted)).scores()
    names = ("precision", "recall", "f1", "ap50", "pq", "ap", "splits", "merges")
    assert {scores[name] for name in names} == {0}
    assert (scores["true"], scores["predicted"]) == (len(true), len(predicted))


def test_splits_and_merges_by_hand():
    # True objects of 100, 100, 50, 50 pixels. The first is in two pieces of 45 and 40; the third and fourth are one.
    # The second is found with a small piece of another beside it, which lies in it for the lesser part.
    true, predicted = objects([100, 100, 50, 50]), objects([45, 40, 90, 30, 110])
    overlaps = np.array([[1, 1, 45], [1, 2, 40], [2, 3, 80], [2, 4, 10], [3, 5, 50], [4, 5, 45]]).T
    matching = match(true, predicted, overlaps)
    assert matching.true.held.tolist() == [2, 1, 0, 0]
    assert matching.predicted.held.tolist() == [0, 0, 1, 0, 2]
    assert (matching.scores()["splits"], matching.scores()["merges"]) == (1, 1)
    # IoU: 45/100 and 40/100 are no match; 80 / (100 + 90 - 80); 50 / 110 and 45 / 115 are none.
    assert matching.true.ious.tolist() == pytest.approx([0, 80 / 110, 0, 0])
    assert matching.predicted.ious.tolist() == pytest.approx([0, 0, 80 / 110, 0, 0])
    assert matching.true.common.tolist() == [85, 90, 50, 45]


def test_pieces_of_a_pair_add_up():
    matching = match(objects([100]), objects([100]), np.array([[1, 1, 30], [1, 1, 50]]).T)
    assert matching.true.ious.tolist() == pytest.approx([80 / 120])


def test_objects_are_counted_by_their_equivalent_spherical_diameter():
    # Disks of 40, 60 and 1,200 pixels across; the largest and one of two predicted ones match.
    areas = np.pi * np.array([40, 60, 1200]) ** 2 / 4
    matching = Matching(side([0, 0.9, 0.8], areas), side([0.9, 0.8, 0], areas[[1, 2, 1]]))
    found = matching.by_size()
    assert found["unit"] == "px"
    assert [(each["low"], each["true"], each["found"]) for each in found["bins"] if each["true"]] == [
        (30, 1, 0),
        (50, 1, 1),
        (1000, 1, 1),
    ]
    assert [(each["predicted"], each["right"], each["precision"]) for each in found["bins"] if each["predicted"]] == [
        (2, 1, 0.5),
        (1, 1, 1.0),
    ]
    assert (found["bins"][0]["recall"], found["bins"][0]["precision"], found["bins"][-1]["high"]) == (None, None, None)


def test_sizes_are_in_mm_where_every_scan_says_how_large_its_pixels_are():
    # 100 pixels across at 2400 dpi: 100 * 25.4 / 2400 = 1.06 mm.
    areas = [np.pi * 100**2 / 4]
    known = Matching(side([0], areas, pixel_mm=25.4 / 2400), side([]))
    assert Matching(side([]), side([])).by_size()["unit"] == "px"
    assert known.by_size()["unit"] == "mm"
    assert [each["true"] for each in known.by_size()["bins"]] == [0, 0, 0, 1, 0, 0, 0]
    assert Matching.join([known, Matching(side([0], areas), side([]))]).by_size()["unit"] == "px"


def test_joined_scans_score_as_all_their_objects_together():
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        ious = np.where(rng.random(9) < 0.6, rng.uniform(0.5, 1, 9), 0)
        parts.append((side(ious), side(ious, scores=rng.random(9))))
    joined = Matching.join([Matching(*part) for part in parts])
    assert len(joined.true) == 27
    assert joined.scores()["pq"] == pytest.approx(np.mean([Matching(*part).scores()["pq"] for part in parts]))
