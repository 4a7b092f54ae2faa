"""intervals: by hand, and against draws made one by one."""

import numpy as np
import pytest

from plankton_keras.intervals import paired_gain


def counts(seed, scans=12):
    return np.random.default_rng(seed).integers(1, 1000, (scans, 3))


def f1(rows):
    found, false, missed = np.sum(rows, axis=0)
    return 2 * found / (2 * found + false + missed)


def test_the_gain_is_the_difference_of_the_pooled_scores():
    ours, theirs = [(6, 2, 0), (0, 0, 2)], [(2, 6, 4), (2, 0, 0)]
    # 12 / (12 + 2 + 2) - 8 / (8 + 6 + 4)
    assert paired_gain(ours, theirs)["f1"] == pytest.approx(0.75 - 4 / 9)


def test_the_interval_is_that_of_draws_made_one_by_one():
    ours, theirs = counts(0), counts(1)
    rng, differences = np.random.default_rng(7), []
    for _ in range(4000):
        rows = rng.integers(0, 12, 12)
        differences.append(f1(ours[rows]) - f1(theirs[rows]))
    gain = paired_gain(ours, theirs)
    assert (gain["low"], gain["high"]) == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.01)
    assert gain["low"] < gain["f1"] < gain["high"]


def test_it_turns_round_with_the_two_and_is_0_of_one_with_itself():
    forth, back = paired_gain(counts(0), counts(1)), paired_gain(counts(1), counts(0))
    assert (forth["f1"], forth["low"], forth["high"]) == pytest.approx((-back["f1"], -back["high"], -back["low"]))
    same = paired_gain(counts(0), counts(0))
    assert (same["f1"], same["low"], same["high"]) == (0, 0, 0)


def test_what_makes_scans_hard_for_both_drops_out():
    # Scans differ widely, ours is better by the same on each: the interval is far narrower than the spread of scans.
    missed = np.array([100, 300, 500, 700, 900])
    theirs = np.stack([1000 - missed, missed * 0, missed], axis=1)
    ours = theirs + np.array([50, 0, -50])
    gain = paired_gain(ours, theirs)
    assert gain["low"] > 0
    assert gain["high"] - gain["low"] < 0.05 < np.ptp([f1([row]) for row in theirs])


def test_scans_without_anything_score_0():
    assert paired_gain([(0, 0, 0)], [(0, 0, 0)]) == {"f1": 0, "low": 0, "high": 0, "scans": 1}
