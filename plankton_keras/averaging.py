"""Several answers to one question, averaged: over the flips and turns of a picture, and over models."""

import hashlib
from dataclasses import replace

import numpy as np

from plankton_keras.errors import ArtefactError
from plankton_keras.fusion import Judge, Weights


def over_turns(model):
    """Makes a model answer with the mean over the eight flips and turns of its input.

    Args:
        model: A `predictors.Predictor` or a `predictors.Classifier`.

    Returns:
        One of the same kind.
    """
    if hasattr(model, "classify"):
        return replace(model, classify=_classified_from_all_sides(model.classify), confusion=None)
    return replace(model, probabilities=_seen_from_all_sides(model.probabilities))


def turned(images):
    """Flips and turns images.

    Args:
        images: Array `(count, height, width, ...)`.

    Yields:
        `(turned, back)`: the eight arrays, half of them with height and width changed over, and the function that turns
        such an array back.

    Example:

    >>> image = np.arange(4).reshape(1, 2, 2)
    >>> [seen.ravel().tolist() for seen, _ in turned(image)][:3]
    [[0, 1, 2, 3], [1, 3, 0, 2], [3, 2, 1, 0]]
    >>> all((back(seen) == image).all() for seen, back in turned(image))
    True
    """
    for flip in (False, True):
        for turns in range(4):

            def back(seen, flip=flip, turns=turns):
                seen = np.rot90(seen, -turns, axes=(1, 2))
                return seen[:, :, ::-1] if flip else seen

            yield np.ascontiguousarray(np.rot90(images[:, :, ::-1] if flip else images, turns, axes=(1, 2))), back


def _seen_from_all_sides(probabilities):
    def mean(images):
        return np.mean([back(probabilities(seen)) for seen, back in turned(images)], axis=0)

    return mean


def _classified_from_all_sides(classify):
    def mean(images, sides):
        return np.mean([classify(seen, sides) for seen, _ in turned(images)], axis=0)

    return mean


def over_models(models):
    """Makes one model of several, which answers with the mean of their answers.

    Args:
        models: List of `predictors.Predictor`, or of `predictors.Classifier`, with the same classes.

    Returns:
        One of the same kind; the only one there is, as it is.

    Raises:
        ArtefactError: If their classes, or the size of their vignettes, differ, or one is given twice.
    """
    first, *others = models
    if not others:
        return first
    sources = [model.source for model in models]
    for source in sources:
        if sources.count(source) > 1:
            raise ArtefactError(f"{source} is given twice.", "each model once.", "leave one out.")
    for other in others:
        if other.classes != first.classes or getattr(other, "size", None) != getattr(first, "size", None):
            raise ArtefactError(
                f"{first.source} and {other.source} have other classes, or vignettes of another size.",
                "models of one task.",
                "give those that were trained on the same records.",
            )
    known = {
        "digest": hashlib.sha256("".join(model.digest for model in models).encode()).hexdigest(),
        "source": " and ".join(sources),
    }
    if hasattr(first, "classify"):
        return replace(first, classify=_mean_of([model.classify for model in models]), confusion=None, **known)
    judge = _one_judge([model.judge for model in models])
    # Without its judge, a model's threshold is that of its network alone.
    by_pixels = [model.threshold if model.pixel_threshold is None else model.pixel_threshold for model in models]
    return replace(
        first,
        probabilities=_mean_of([model.probabilities for model in models]),
        threshold=float(np.mean([model.threshold for model in models] if judge else by_pixels)),
        judge=judge,
        curves={},
        looks=first.looks if all(other.looks == first.looks for other in others) else (),
        pixel_threshold=float(np.mean(by_pixels)),
        training_scans=_all_scans(models, "training_scans"),
        validation_scans=_all_scans(models, "validation_scans"),
        **known,
    )


def _all_scans(models, name):
    return {digest: stem for model in models for digest, stem in getattr(model, name).items()}


def _mean_of(functions):
    def mean(*inputs):
        return np.mean([function(*inputs) for function in functions], axis=0)

    return mean


def _one_judge(judges):
    """Joins judges that look at the same candidates; None unless every model has one."""
    if not all(judges):
        return None
    names = ("darkness", "min_area", "vignette_size")
    if len({tuple(getattr(judge.weights, name) for name in names) for judge in judges}) > 1:
        return None
    settings = [judge.weights.to_json() for judge in judges]
    means = {name: float(np.mean([each[name] for each in settings])) for name in settings[0]}
    weights = Weights(**{**means, **{name: settings[0][name] for name in names}})
    return Judge(_mean_of([judge.classify for judge in judges]), weights)
