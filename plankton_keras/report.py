"""One HTML page of an evaluation: the figures of `metrics.json` and nothing else, drawn.

The page is one file. It loads nothing, runs no script, and adapts to dark mode, to a phone and to print.
"""

import numpy as np

from plankton_keras.intervals import FEW
from plankton_keras.pages import MISSING, figure, flat, interval, png_uri, write_page
from plankton_keras.taxa import color_of

# A confusion matrix of more classes than this is too wide for numbers.
MANY = 12
CONFUSIONS = 15
HEAT_LEVELS = 10


def write_report(path, metrics, crops=()):
    """Writes the report of an evaluation.

    Args:
        path: The HTML file; it appears whole or not at all.
        metrics: The dictionary of `metrics.json`, of pixels and objects or of vignettes. A section whose key is absent
            is left out.
        crops: None, or a `(scan, truth, predicted)` for each of `metrics["errors"]`, of equal shape `(height, width)`:
            uint8 gray levels, and two uint8 maps of class indices, 0 = ground.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "report.html"
    >>> write_report(path, {"model": "runs/unet", "pixel": {"f1": 0.87654}})
    >>> "0.8765" in path.read_text(encoding="utf-8")
    True
    """
    write_page(path, "report.html.j2", _view(metrics, crops), points=points)


def points(across, up):
    """Places a curve; where one of the two is unknown it has no point.

    Args:
        across: Numbers 0..1.
        up: As many, 0..1.

    Returns:
        The `(x, y)` that are known.

    Example:

    >>> points([0, 0.5, 1], [1, None, 0.25])
    [(0, 1), (1, 0.25)]
    """
    pairs = zip(across, up, strict=True)
    return [(round(x, 4), round(y, 4)) for x, y in pairs if MISSING not in (figure(x), figure(y))]


def _view(metrics, crops):
    """Gives what the template shows: the metrics, and tables as lists of rows."""
    classes, errors = metrics.get("classes") or {}, metrics.get("errors") or []
    return {
        "metrics": metrics,
        "vignettes": "vignettes" in metrics,
        "names": list(classes),
        "many": len(classes) > MANY,
        "warnings": sorted(metrics.get("warnings") or [], key=lambda warning: not warning["severe"]),
        "headline": [_row(metrics.get("model"), metrics), *_baselines(metrics)],
        "runs": [_row(run.get("model"), run) for run in metrics.get("runs") or []],
        "comparison": [
            {**pair, "interval": pair, "verdict": _verdict(pair)} for pair in metrics.get("comparison") or []
        ],
        "verdict": _verdict(metrics.get("gain") or {}),
        "scans": _scans(metrics),
        "looks": [{"scan": scan["scan"], **scan["shift"]} for scan in metrics.get("scans") or [] if scan.get("shift")],
        "classes": [{"name": name, **classes[name]} for name in _by_support(classes)],
        "unseen": [name for name, scores in classes.items() if scores.get("support") == 0],
        "bins": [{**each, "name": _bin(each)} for each in _at(metrics, "calibration").get("bins") or []],
        "sizes": [{**each, "name": _bin(each)} for each in _at(metrics, "sizes").get("bins") or []],
        "counts": [{"name": name, **counts} for name, counts in (metrics.get("counts") or {}).items()],
        "errors": [
            {**error, "pictures": _pictures(*crop) if crop else None}
            for error, crop in zip(errors, crops or [None] * len(errors), strict=True)
        ],
        "legend": _legend(crops, list(classes)),
        "provenance": _provenance(metrics),
        "training": list(flat(_at(metrics, "provenance", "training"))),
        **_confusion(metrics.get("confusion") or [], classes),
    }


def _at(values, *keys):
    """Looks up nested dictionaries; what is absent is empty."""
    for key in keys:
        values = (values or {}).get(key)
    return values or {}


def _row(name, scores):
    """Gives the figures of a run or a baseline on one level, as tables show them."""
    row = {"name": name, **scores, **_at(scores, "pixel")}
    row |= {f"objects_{key}": value for key, value in _at(scores, "objects").items()}
    row |= {f"gain_{key}": value for key, value in _at(scores, "gain").items()}
    ends = _at(scores, "intervals", "pixel", "f1")
    return row | ({"interval": ends} if ends else {})


def _baselines(metrics):
    """Gives the rows of the baselines."""
    for name, scores in _at(metrics, "baselines").items():
        yield _row("plain threshold" if name == "threshold" else name, scores)


def _verdict(difference):
    """Says whether an interval of a difference leaves out 0; of few scans it is no reason to say so."""
    if not interval(difference):
        return "unknown"
    if difference["scans"] < FEW:
        return "not sure, of so few scans"
    return "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "not sure"


def _scans(metrics):
    """Gives a row for each scan, with the number of its first error."""
    first, rows = {}, []
    for number, error in enumerate(metrics.get("errors") or [], start=1):
        first.setdefault(error["scan"], number)
    plain = {scan["scan"]: scan["pixel"] for scan in _at(metrics, "baselines", "threshold").get("scans") or []}
    for scan in metrics.get("scans") or []:
        name, shift = scan["scan"], _at(scan, "shift")
        row = {"scan": name, **_at(scan, "pixel"), **_at(scan, "counts")}
        row |= {f"objects_{key}": value for key, value in _at(scan, "objects").items()}
        row |= {"href": f"#error-{first[name]}"} if name in first else {}
        row |= {"plain_f1": plain[name].get("f1")} if name in plain else {}
        row |= {"unlike": ", ".join(["yes", *shift.get("why", [])]) if shift["unlike"] else "no sign"} if shift else {}
        rows.append(row)
    return rows


def _bin(ends):
    """Names a bin; the last one of sizes has no upper end."""
    return interval(ends, "value") or f"{figure(ends['low'], 'value')} and more"


def _by_support(classes):
    """Orders the names of the classes, those with most truth first."""
    return sorted(classes, key=lambda name: -(classes[name].get("support") or 0))


def _confusion(confusion, classes):
    """Gives a confusion matrix as a table, as its largest cells off the diagonal, and as a drawing."""
    if not confusion:
        return {}
    names = _by_support(classes)
    order = [list(classes).index(name) for name in names]
    counts = np.array(confusion)[order][:, order]
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.where(sums > 0, counts / np.maximum(sums, 1), np.nan)
    wrong = np.argwhere((counts > 0) & ~np.eye(len(names), dtype=bool))
    wrong = sorted(wrong.tolist(), key=lambda cell: -counts[*cell])[:CONFUSIONS]
    levels = np.ceil(np.nan_to_num(shares) * HEAT_LEVELS).astype(int)
    return {
        "matrix": [
            {"name": name, "cells": list(zip(*rows, strict=True))}
            for name, *rows in zip(names, counts.tolist(), shares.tolist(), strict=True)
        ],
        "confusions": [
            {"true": names[i], "predicted": names[j], "count": int(counts[i, j]), "share": float(shares[i, j])}
            for i, j in wrong
        ],
        # A path for each shade is a tenth of the bytes of a square for each cell.
        "heat": [
            {
                "opacity": level / HEAT_LEVELS,
                "path": "".join(f"M{column} {row}h1v1h-1z" for row, column in np.argwhere(levels == level).tolist()),
            }
            for level in range(1, HEAT_LEVELS + 1)
        ],
    }


def _pictures(scan, truth, predicted):
    """Gives the crops of an error as pictures to lay upon each other; ground lets the scan through."""
    colors = np.array([(0, 0, 0, 0), *((*color_of(index)[::-1], 255) for index in range(1, 256))], np.uint8)
    height, width = scan.shape
    pictures = {"scan": png_uri(scan), "truth": png_uri(colors[truth]), "prediction": png_uri(colors[predicted])}
    return {"height": height, "width": width, **pictures}


def _legend(crops, names):
    """Gives name and colour of the classes in the crops."""
    found = {int(index) for _, *maps in crops for index in np.unique(np.stack(maps))} - {0}
    return [(names[index], "rgb({} {} {})".format(*color_of(index))) for index in sorted(found) if index < len(names)]


def _provenance(metrics):
    """Gives what says where the figures come from, but for the training, as rows."""
    known = {key: metrics[key] for key in ("model", "model_sha256", "data", "split", "threshold") if key in metrics}
    others = {key: value for key, value in _at(metrics, "provenance").items() if key != "training"}
    return list(flat({**known, **others}))
