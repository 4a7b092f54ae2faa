"""intervals: by hand, and against draws made one by one."""

import numpy as np
import pytest
from scipy import stats

from plankton_keras import intervals
from plankton_keras.intervals import f1_of, paired_gain, spread


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
    # Of 12 scans 1.08 % instead of 2.5 lie beyond each end.
    assert (gain["low"], gain["high"]) == pytest.approx(np.quantile(differences, [0.0108, 0.9892]), abs=0.02)
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
    assert paired_gain([(0, 0, 0)] * 2, [(0, 0, 0)] * 2) == {"f1": 0, "low": 0, "high": 0, "scans": 2}


def test_a_single_scan_says_nothing_of_how_sure_a_figure_is():
    assert paired_gain([(6, 2, 0)], [(2, 6, 4)]) == {"f1": 12 / 14 - 4 / 14, "low": None, "high": None, "scans": 1}
    assert spread([(6, 2, 0)], lambda sums: {"f1": f1_of(sums)}) == {}


def test_the_interval_of_a_mean_is_that_of_student():
    rows = np.random.default_rng(3).normal(5, 2, (12, 1))
    ends = spread(rows, lambda sums: {"mean": sums[:, 0] / 12})["mean"]
    reach = stats.t.ppf(0.975, 11) * rows.std(ddof=1) / np.sqrt(12)
    assert (ends["low"], ends["high"]) == pytest.approx((rows.mean() - reach, rows.mean() + reach), abs=0.15)


def scans_of_a_lab(rng, count):
    """Pixels `(count, 3)` found, false and missed: scans differ in how much lives there and in how hard they are."""
    living = np.exp(rng.normal(12, 0.5, count))
    recall, precision = rng.beta(18, 2, count), rng.beta(18, 2, count)
    found = living * recall
    return np.stack([found, found * (1 / precision - 1), living - found], axis=1)


@pytest.mark.parametrize(("count", "least"), [(5, 0.88), (8, 0.92), (12, 0.92), (30, 0.92), (50, 0.92)])
def test_the_interval_holds_the_truth_in_about_95_of_100_labs(count, least, monkeypatch):
    monkeypatch.setattr(intervals, "MOST", 1000)
    rng = np.random.default_rng(count)
    truth = f1(scans_of_a_lab(rng, 1_000_000))
    labs, held = 1000, 0
    for _ in range(labs):
        ends = spread(scans_of_a_lab(rng, count), lambda sums: {"f1": f1_of(sums)})["f1"]
        held += ends["low"] <= truth <= ends["high"]
    assert least <= held / labs <= 0.98
