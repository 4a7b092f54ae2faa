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


def lines_of(result):
    """Words the result of `compare` for a terminal.

    Args:
        result: The dictionary that `compare` gave.

    Returns:
        A list of lines.
    """
    scored = result.get("runs", [result])
    rows = [(each["model"], each) for each in scored]
    rows += [(BASELINES[name], each) for name, each in result["baselines"].items()]
    lines = ["pixels of the foreground    F1   precision  recall"]
    for name, scores in rows:
        pixel = scores["pixel"]
        lines.append(f"{name:<25} {pixel['f1']:.4f}   {pixel['precision']:.4f}   {pixel['recall']:.4f}")
    lines += _class_lines(result["classes"])
    for each in scored:
        lines.append(f"{each['model']}: {_difference(each['gain'])} over the plain threshold")
    for pair in result.get("comparison", ()):
        lines.append(f"{pair['one']}: {_difference(pair)} over {pair['other']}")
    objects, note = result["objects"], result["intervals"]["note"]
    lines.append(
        f"objects at IoU 0.5: F1 {objects['f1']:.3f}, precision {objects['precision']:.3f}, "
        f"recall {objects['recall']:.3f}; panoptic quality {objects['pq']:.3f}; "
        f"{objects['splits']} split, {objects['merges']} merged"
    )
    for scan in result["scans"]:
        lines += [
            f"{scan['scan']} is unlike the training scans: {text}" for text in scan.get("shift", {"why": ()})["why"]
        ]
    return [*lines, *([note] if note else [])]


BASELINES = {"threshold": "plain threshold", "all ground": "all ground", "all living": "all living"}


def _difference(gain):
    """Words a difference of F1."""
    if gain["low"] is None:
        return f"F1 {gain['f1']:+.4f} (one scan says nothing of how sure that is)"
    sure = f"{gain['low']:+.4f} to {gain['high']:+.4f} in 95 % of bootstraps over {gain['scans']} scans"
    return f"F1 {gain['f1']:+.4f} ({sure})"


def _class_lines(classes):
    """Words the scores of each class but 0 that is there, the largest first, where there are several."""
    if len(classes) == 2:
        return []
    _, *names = classes
    present = sorted((name for name in names if classes[name]["support"]), key=lambda name: -classes[name]["support"])
    lines = [f"{'pixels of':<37} {'F1':>6} {'precision':>9} {'recall':>6} {'pixels':>9}"]
    for name in present:
        f1, precision, recall, support = (classes[name][key] for key in ("f1", "precision", "recall", "support"))
        lines.append(f"{name:<37} {f1:>6.3f} {precision:>9.3f} {recall:>6.3f} {support:>9}")
    return lines
