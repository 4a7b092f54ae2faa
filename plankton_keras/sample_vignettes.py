"""Which animals of a sample are shown: the most probable and the largest of each taxon."""

import cv2

SHOWN = 6
# Of each scan twice as many are kept, since the largest may be among the most probable.
KEPT = 2 * SHOWN
SIDE = 128


def keep(rows, pictures):
    """Keeps what the page of a sample can need of one scan.

    Args:
        rows: Rows of objects.csv as dictionaries.
        pictures: As many uint8 `(height, width)`, the objects alone.

    Returns:
        A list of dictionaries, 24 a taxon at most: `scan`, `label`, `taxon`, `score`, `esd` (pixels), `esd_mm` (or
        None), and `picture`, uint8, whose longer side is at most 128 pixels.
    """
    names = ("scan", "label", "taxon", "score", "esd")
    known = [
        {**{name: row[name] for name in names}, "esd_mm": row.get("esd_mm"), "place": place}
        for place, row in enumerate(rows)
    ]
    found = [each for kinds in choose(known, KEPT).values() for chosen in kinds.values() for each in chosen]
    return [{**each, "picture": _reduced(pictures[each["place"]])} for each in found]


def choose(vignettes, shown=SHOWN):
    """Chooses what is shown.

    Args:
        vignettes: Dictionaries as of `keep`, of any number of scans.
        shown: How many of a kind.

    Returns:
        A dictionary by taxon of dictionaries: `most probable`, and `largest` of the others, lists of such dictionaries.

    Example:

    >>> known = [dict(taxon="salp", score=score, esd=esd, esd_mm=None) for score, esd in ((0.9, 2), (0.8, 5), (0.7, 9))]
    >>> {kind: [each["esd"] for each in found] for kind, found in choose(known, 1)["salp"].items()}
    {'most probable': [2], 'largest': [9]}
    """
    by_taxon = {}
    for each in vignettes:
        by_taxon.setdefault(each["taxon"], []).append(each)
    chosen = {}
    for taxon, mine in by_taxon.items():
        order = sorted(mine, key=lambda each: -each["score"])
        largest = sorted(order[shown:], key=lambda each: -(each["esd_mm"] or each["esd"]))
        chosen[taxon] = {"most probable": order[:shown], "largest": largest[:shown]}
    return chosen


def _reduced(picture):
    height, width = picture.shape
    factor = SIDE / max(height, width)
    if factor >= 1:
        # A copy, since the picture of a whole object would be kept in memory otherwise.
        return picture.copy()
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
