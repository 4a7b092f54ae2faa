"""Counts adjusted for known confusion: how many of each class there were, from how many were called so.

Of a rare class most that bear its name may be of a common one. The confusion matrix of validation says how often each
class is called what; the counts that would be called as was found are solved for (Solow, Davis and Hu 2001, Marine
Ecology Progress Series 216). Animals that were not found at all are not in it.
"""

import numpy as np

# Vignettes that the draws add to each class of validation: the prior of Bayes and Laplace where there are two classes.
SPARE = 2


def adjusted(counts, confusion):
    """Solves for the true counts.

    Least squares with no count below 0 (Lawson and Hanson 1974), then scaled to the number of objects counted.

    Args:
        counts: float `(classes,)`, objects or animals called each class.
        confusion: float `(classes, classes)`, rows true, columns predicted, of validation. A class that it does not
            hold is taken as never confused.

    Returns:
        float64 `(classes,)`.

    Example, where a tenth of the copepods are called detritus, and a fifth of the detritus copepods:

    >>> [round(count, 6) for count in adjusted([260, 840], [[90, 10], [20, 80]]).tolist()]
    [57.142857, 1042.857143]
    """
    from scipy.optimize import nnls

    counts = np.asarray(counts, np.float64)
    found = nnls(shares(confusion).T, counts)[0]
    return found * (counts.sum() / found.sum()) if found.sum() > 0 else found


def shares(confusion):
    """Gives how often each true class is called what: rows that add up to 1."""
    confusion = np.asarray(confusion, np.float64)
    sums = confusion.sum(axis=1, keepdims=True)
    return np.where(sums > 0, confusion / np.maximum(sums, 1e-300), np.eye(len(confusion)))


def adjusted_draws(drawn, confusion, seed=0):
    """Adjusts drawn counts, each by a matrix that is drawn too, since validation is finite.

    What validation did not see may happen all the same: each class that it holds counts SPARE vignettes more, spread
    evenly over all classes. Without them a class of five vignettes, all named rightly, would be sure never to be
    confused.

    Args:
        drawn: float64 `(draws, classes)`.
        confusion: As in `adjusted`, in objects.
        seed: Any whole number of 0 or more.

    Returns:
        float64 `(draws, classes)`.
    """
    generator = np.random.default_rng([seed, 2])
    confusion = np.asarray(confusion, np.float64)
    confusion = confusion + SPARE / len(confusion) * (confusion.sum(axis=1, keepdims=True) > 0)
    return np.stack([adjusted(counts, generator.standard_gamma(confusion)) for counts in drawn])
