"""How far sums over objects may be off: counting, sub-sampling and classification in one bootstrap.

Animals lie in the water by chance, and so do those that a splitter hands on: the number on a scan is Poisson. Each
object counts as often as a draw from the exponential distribution says (Rubin 1981, Annals of Statistics 9, without
holding the number of objects fixed). The sum of n such draws has the gamma distribution of n, whose lower end is the
exact one of a Poisson number (Garwood 1936, Biometrika 28); the upper end is that of one object more, of the largest
weight (Fay and Feuer 1997, Statistics in Medicine 16). An object that stands for many animals is one draw, so that a
small part of a sample gives a wide interval. The class of each object is drawn anew from its probabilities.
"""

import numpy as np

from plankton_keras.intervals import TAIL

DRAWS = 1000
# Objects at once, which bounds the memory.
BLOCK = 2048


def drawn_sums(values, groups, num_groups, chances=None, seed=0):
    """Draws sums over objects.

    Args:
        values: float64 `(objects, quantities)`, what an object adds.
        groups: int `(objects, options)`, the group in which it counts under each option, such as each class.
        num_groups: Number of groups.
        chances: float `(objects, options)`, the probability of each option; None of a single one.
        seed: Any whole number of 0 or more; the same draws for the same.

    Returns:
        float64 `(DRAWS, num_groups, quantities)`.

    Example, nine objects of one group:

    >>> sums = drawn_sums(np.ones((9, 1)), np.zeros((9, 1), int), 1)
    >>> sums.shape, round(float(sums.mean()))
    ((1000, 1, 1), 9)
    """
    generator = np.random.default_rng([seed, 0])
    sums = np.zeros((values.shape[1], DRAWS * num_groups))
    first = num_groups * np.arange(DRAWS)[:, None]
    for start in range(0, len(values), BLOCK):
        block = slice(start, start + BLOCK)
        times = generator.standard_exponential((DRAWS, len(values[block])))
        drawn = groups[block, 0] if chances is None else _options(groups[block], chances[block], generator)
        places = (first + drawn).ravel()
        for row, added in enumerate(values[block].T):
            sums[row] += np.bincount(places, (times * added).ravel(), DRAWS * num_groups)
    return np.moveaxis(sums.reshape(-1, DRAWS, num_groups), 0, -1)


def _options(groups, chances, generator):
    """Draws an option of each object, as often as there are draws; gives its group."""
    rows = np.arange(len(chances))
    reached = np.cumsum(chances, axis=1, dtype=np.float64)
    # All objects in one ascending list, each in a stretch of 1 of its own.
    ladder = (reached / reached[:, -1:] + rows[:, None]).ravel()
    found = np.searchsorted(ladder, generator.random((DRAWS, len(rows))) + rows, side="right")
    option = np.clip(found - rows * chances.shape[1], 0, chances.shape[1] - 1)
    return groups[rows, option]


def ends(sums, spare, seed=0):
    """Gives the intervals of 95 % of sums.

    Args:
        sums: float64 `(draws, groups, quantities)` of `drawn_sums`.
        spare: float64 `(groups, quantities)`, what one more object would add; NaN where nobody knows.
        seed: As there.

    Returns:
        Lower and upper ends, float64 `(groups, quantities)`; upper ones NaN where `spare` is.

    Example, of nothing seen: up to 3.7 objects.

    >>> low, high = ends(np.zeros((1000, 1, 1)), np.ones((1, 1)))
    >>> float(low[0, 0]), round(float(high[0, 0]), 1)
    (0.0, 3.7)
    """
    more = one_more(len(sums), seed)[:, None, None] * spare
    return np.quantile(sums, TAIL, axis=0), np.quantile(sums + more, 1 - TAIL, axis=0)


def one_more(draws, seed=0):
    """Gives how often one object more counts in each draw, which upper ends are of.

    Args:
        draws: Number of draws.
        seed: As of `drawn_sums`.

    Returns:
        float64 `(draws,)`, evenly spread over the exponential distribution, in any order: exact where nothing was seen.

    Example:

    >>> round(float(np.quantile(one_more(1000), 0.975)), 1)
    3.7
    """
    even = -np.log((np.arange(draws) + 0.5) / draws)
    return np.random.default_rng([seed, 1]).permutation(even)
