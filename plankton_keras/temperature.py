"""What log-odds are divided by so that probabilities are what they say."""

import numpy as np

from plankton_keras.fusion import LOG_ODDS

# Beyond these, probabilities in 1/255 would all lie close together: at the ends, or in the middle.
COLDEST, HOTTEST = 0.5, 5.0


def fit_temperature(logits, labels, weights=None):
    """Finds what logits are to be divided by for probabilities that are what they say (Guo et al. 2017, 1706.04599).

    Args:
        logits: `(rows, classes)`.
        labels: int `(rows,)`, true class indices.
        weights: How often each row counts, or None.

    Returns:
        The temperature with the greatest likelihood; above 1 where the model is too sure. 1 where the labels are all of
        one class.

    Example, where a model that gives log-odds of 4 is right in 3 of 4 cases, which are log-odds of 1.1:

    >>> round(fit_temperature(np.array([[0, 4], [0, 4]]), np.array([0, 1]), weights=[1, 3]), 2)
    3.64
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    weights = np.ones(len(labels)) if weights is None else np.asarray(weights)
    if len(np.unique(np.asarray(labels)[weights > 0])) < 2:
        return 1.0
    rows = np.arange(len(labels))

    def loss(logarithm):
        return -np.average(log_softmax(logits / np.exp(logarithm), axis=1)[rows, labels], weights=weights)

    return float(np.exp(minimize_scalar(loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded").x))


def pixel_temperature(histogram):
    """Finds the temperature of the foreground's probability, over the pixels above 0 as `calibration` does.

    Args:
        histogram: As in `curves`.

    Returns:
        As `fit_temperature`.
    """
    logits = np.stack([np.zeros(510), np.tile(LOG_ODDS[1:], 2)], axis=1)
    return fit_temperature(logits, np.repeat([0, 1], 255), np.asarray(histogram)[:, 1:].ravel())
