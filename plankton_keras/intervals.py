"""How sure a figure is: bootstrap over scans, since pixels and objects of one scan are alike.

Intervals of 95 %. With few scans the percentiles of the bootstrap lie too close together; they are taken further out by
what Student's t says of so many scans (Hesterberg 2015, The American Statistician 69: expanded percentile interval).
"""

import functools
import math

import numpy as np

# Both tails together hold one in twenty.
TAIL = 0.025
# With fewer scans the spread between them cannot be told; with fewer than ENOUGH intervals come out a little narrow:
# they held the truth in 90 instead of 95 of 100 simulated labs with 5 scans, in 92 and more from 8 on.
FEW, ENOUGH = 5, 8
# Draws, of few and of many rows.
MOST, LEAST = 10_000, 1_000


@functools.cache
def tail(count):
    """Gives the share of the bootstrap beyond each end of the interval of so many scans.

    Example:

    >>> [round(tail(count), 4) for count in (5, 12, 1000)]
    [0.001, 0.0108, 0.0248]
    """
    from scipy.stats import norm, t

    return float(norm.cdf(-math.sqrt(count / (count - 1)) * t.ppf(1 - TAIL, count - 1)))


def _draws(rows):
    """Adds up rows drawn with replacement, as often as there are rows; always the same draws."""
    count = len(rows)
    draws = max(LEAST, min(MOST, 4_000_000 // count))
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), draws) @ rows


def spread(rows, scores):
    """Gives the intervals of scores that follow from counts which add up.

    Args:
        rows: `(scans, counts)`, what was counted of each scan (or of each object).
        scores: Function of float64 `(draws, counts)` to a dictionary of `(draws,)`.

    Returns:
        A dictionary of `low` and `high` by name; empty of fewer than two rows, which say nothing of it.

    Example:

    >>> found = spread([[9, 10], [8, 10], [7, 10]] * 4, lambda sums: {"recall": sums[:, 0] / sums[:, 1]})
    >>> {end: round(value, 2) for end, value in found["recall"].items()}
    {'low': 0.75, 'high': 0.85}
    """
    rows = np.asarray(rows, np.float64)
    if len(rows) < 2:
        return {}
    out = tail(len(rows))
    drawn = scores(_draws(rows))
    ends = {name: np.quantile(values, [out, 1 - out]).tolist() for name, values in drawn.items()}
    return {name: {"low": low, "high": high} for name, (low, high) in ends.items()}


def paired_gain(ours, theirs):
    """Gives the difference of two pooled F1 scores on the same scans, with its interval.

    The scans are drawn with replacement, the same for both: that some scans are harder than others drops out (Efron and
    Tibshirani 1993, chapter 13).

    Args:
        ours: List of `(found, false, missed)` pixels, a scan each.
        theirs: The same of what is compared with, scans in the same order.

    Returns:
        A dictionary of `f1`, the difference; `low` and `high`, the ends of its interval, None of a single scan; and
        `scans`.

    Example, where we find on every scan what they miss:

    >>> gain = paired_gain([(8, 0, 2)] * 5, [(4, 0, 6)] * 5)
    >>> {name: round(value, 3) for name, value in gain.items()}
    {'f1': 0.317, 'low': 0.317, 'high': 0.317, 'scans': 5}
    """
    rows = np.concatenate([np.asarray(each, np.float64).reshape(-1, 3) for each in (ours, theirs)], axis=1)

    def difference(sums):
        return {"f1": f1_of(sums[:, :3]) - f1_of(sums[:, 3:])}

    whole = float(difference(rows.sum(axis=0, keepdims=True))["f1"][0])
    ends = spread(rows, difference).get("f1", {"low": None, "high": None})
    return {"f1": whole, **ends, "scans": len(rows)}


def f1_of(counts):
    """Gives the F1 of rows of `(found, false, missed)`; nothing out of nothing is 0."""
    found, false, missed = counts.T
    return 2 * found / np.maximum(2 * found + false + missed, 1)
