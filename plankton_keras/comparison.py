"""Contestants scored on the same scans, beside each other and beside the baselines: the object of metrics.json."""

import itertools

from plankton_keras.baselines import score_baselines
from plankton_keras.evaluation import gain_over, score
from plankton_keras.gallery import Gallery
from plankton_keras.shift import unlike


def compare(contestants, truths):
    """Scores contestants.

    Args:
        contestants: List of `evaluation.Contestant`, one at least.
        truths: List of `truths.Truth`.

    Returns:
        `(result, crops)`: a dictionary of the first one's scores as `evaluation.score` gives them, its worst `errors`
        and its `gain` over the plain threshold, and of the `baselines`; where there are several, the same of each as
        `runs` and the differences of any two as `comparison`. And, of each error, what `gallery.Gallery.crops` gives.
    """
    first, *others = contestants
    gallery = Gallery(first.classes)
    scored = [score(first, truths, gallery), *(score(other, truths) for other in others)]
    baselines, looks = score_baselines(truths, first.target)
    for contestant, each in zip(contestants, scored, strict=True):
        each["gain"] = gain_over(each, baselines["threshold"])
        for scan, look in zip(each["scans"], looks, strict=True):
            found = {**look, "confidence": scan.pop("confidence")}
            if contestant.looks:
                why = unlike(found, contestant.looks)
                scan["shift"] = {"unlike": bool(why), "why": why, **found}
    result = {**scored[0], "errors": gallery.errors(), "baselines": baselines}
    if others:
        result["runs"] = scored
        result["comparison"] = [
            {"one": one["model"], "other": other["model"], **gain_over(one, other)}
            for one, other in itertools.combinations(scored, 2)
        ]
    return result, gallery.crops()
