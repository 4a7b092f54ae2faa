"""What a reader of a sample should know before believing its numbers, in words."""

from math import sqrt

from plankton_keras.naming import UNCLASSIFIED
from plankton_keras.samples import listed

# Of fewer living objects the count itself is uncertain by a tenth or more.
FEW = 100
# Shares of objects above which it is said; not sharp limits, and both shares stand on the page in any case.
MANY_UNCLASSIFIED, MANY_CUT = 0.1, 0.05
# Share of living objects that may be several animals, as the quality checks of ZooScan users allow it (ecotaxa/ZQC).
MANY_MULTIPLES = 0.2


def flags(sample, scans, objects, living, lost=()):
    """Names what is doubtful.

    Args:
        sample: Dictionary of what is known of the sample, or None without metadata.
        scans: List of dictionaries: `scan`, and `unlike_training`, list of texts in what it is unlike them.
        objects: Rows of objects.csv as dictionaries.
        living: Dictionary from each taxon to whether it is living.
        lost: Stems of the sample's scans that are not measured.

    Returns:
        A list of dictionaries: `text`, and `severe`, whether numbers may be wrong rather than uncertain or missing.

    Example:

    >>> row = {"scan": "a", "taxon": "salp", "area_mm2": 1.0, "esd": 90.0, "cut_by_edge": False, "multiple": False}
    >>> flags({"volume_m3": 9.0}, [], [row] * 25, {})
    [{'severe': False, 'text': 'Only 25 living objects: counts are uncertain by 20 % (1/√n) or more.'}]
    """
    texts = [_few(sum(living.get(row["taxon"], True) for row in objects))]
    texts.append(_share(shares(objects)["unclassified"], MANY_UNCLASSIFIED, "unclassified"))
    texts.append(_share(shares(objects)["cut"], MANY_CUT, "cut by the edge of the scan, and measured too small"))
    texts.append(_many_multiples(*multiples(objects, living)))
    if sample is None:
        texts.append("No metadata of the sample: no abundance, biovolume or size spectrum.")
    elif not sample.get("volume_m3"):
        texts.append("No volume of water of the sample: no abundance, biovolume or size spectrum.")
    unsized = sorted({row["scan"] for row in objects if row.get("area_mm2") is None})
    if unsized:
        texts.append(f"No resolution of {', '.join(unsized)}: no millimetres, biovolume or size spectrum.")
    severe = [
        f"{scan['scan']} is unlike the training scans: {'; '.join(scan['unlike_training'])}."
        for scan in scans
        if scan.get("unlike_training")
    ]
    if lost:
        severe.append(f"Without {listed(lost)} of this sample: all numbers are of its other scans alone.")
    return [{"severe": True, "text": text} for text in severe] + [
        {"severe": False, "text": text} for text in texts if text
    ]


def shares(objects):
    """Gives the shares of objects that have no class, and that the edge of a scan cuts.

    Args:
        objects: As in `flags`.

    Returns:
        A dictionary of `unclassified` and `cut`, 0..1.
    """
    count = max(len(objects), 1)
    return {
        "unclassified": sum(row["taxon"] == UNCLASSIFIED for row in objects) / count,
        "cut": sum(row["cut_by_edge"] for row in objects) / count,
    }


def multiples(objects, living):
    """Gives the shares of living objects that may be several animals that touch.

    Args:
        objects: As in `flags`.
        living: As in `flags`.

    Returns:
        Their shares by number and by biovolume, as spheres of their area, 0..1.

    Example, a pair that is twice as wide as the single animal, and so has eight times its volume:

    >>> multiples([dict(taxon="salp", esd=2.0, multiple=True), dict(taxon="salp", esd=1.0, multiple=False)], {})
    (0.5, 0.8888888888888888)
    """
    alive = [row for row in objects if living.get(row["taxon"], True)]
    size = "esd_mm" if all(row.get("esd_mm") is not None for row in alive) else "esd"
    several = [row for row in alive if row["multiple"]]
    if not several:
        return 0.0, 0.0
    volume = sum(row[size] ** 3 for row in several) / sum(row[size] ** 3 for row in alive)
    return len(several) / len(alive), volume


def _many_multiples(number, volume):
    if number <= MANY_MULTIPLES:
        return None
    return (
        f"{100 * number:.1f} % of the living objects ({100 * volume:.1f} % of their biovolume) may be several animals "
        f"that touch; quality checks of ZooScan samples allow {100 * MANY_MULTIPLES:.0f} %."
    )


def _few(count):
    if count >= FEW:
        return None
    if not count:
        return "No living object was found."
    noun = "object" if count == 1 else "objects"
    return f"Only {count} living {noun}: counts are uncertain by {100 / sqrt(count):.0f} % (1/√n) or more."


def _share(share, limit, what):
    return f"{100 * share:.1f} % of the objects are {what}." if share > limit else None
