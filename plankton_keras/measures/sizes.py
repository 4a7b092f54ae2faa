"""What follows from an object's measures: ratios of them, millimetres and volumes."""

import math

# What ZooProcess derives from other measures, in the order of its header.
DERIVED = (
    "esd",
    "elongation",
    "range",
    "meanpos",
    "centroids",
    "cv",
    "sr",
    "perimareaexc",
    "feretareaexc",
    "perimferet",
    "perimmajor",
    "circex",
    "cdexc",
)


def derive(measures, legacy=False):
    """Derives the 13 measures that ZooProcess derives.

    Args:
        measures: A dictionary of area, area_exc, mean, stddev, min, max, x, y, xm, ym, perim., major, minor and feret.
        legacy: From values rounded to whole numbers, the mean to 2 decimals, as ZooProcess up to version 8 does, so
            that centroids and cdexc are 0 for nearly all objects.

    Returns:
        A dictionary in the order of `DERIVED`. What divides by nothing, or by what is not known, is None.
    """
    given = {name: _whole(name, value) for name, value in measures.items()} if legacy else measures
    area_exc, mean, stddev, perimeter = (given[name] for name in ("area_exc", "mean", "stddev", "perim."))
    span = given["max"] - given["min"]
    root = math.sqrt(area_exc)
    off = None if given["xm"] is None else math.hypot(given["xm"] - given["x"], given["ym"] - given["y"])
    values = (
        2 * math.sqrt(given["area"] / math.pi),
        _ratio(given["major"], given["minor"]),
        span,
        _ratio(mean - given["max"], mean - given["min"]),
        off,
        _ratio(stddev, mean, 100),
        _ratio(stddev, span, 100),
        _ratio(perimeter, root),
        _ratio(given["feret"], root),
        _ratio(perimeter, given["feret"]),
        _ratio(perimeter, given["major"]),
        _ratio(area_exc, perimeter**2, 4 * math.pi),
        _ratio(off, root),
    )
    return dict(zip(DERIVED, values, strict=True))


def _whole(name, value):
    """Rounds as ZooProcess does before it derives: halves up."""
    if value is None or isinstance(value, int):
        return value
    return round_half_up(value, 2 if name == "mean" else 0)


def round_half_up(value, decimals):
    """Rounds as ImageJ writes numbers; Python's own `round` would give 2 for 2.5.

    Example:

    >>> round_half_up(2.5, 0), round_half_up(207.336, 2)
    (3.0, 207.34)
    """
    return math.floor(value * 10**decimals + 0.5) / 10**decimals


def _ratio(above, below, times=1):
    return None if above is None or not below else times * above / below


def millimetres(measures, pixel_mm):
    """Gives sizes in millimetres and volumes in cubic millimetres.

    The volumes are three models of the same object and differ: that of a sphere of the object's area (plain) or of its
    area without holes (riddled), and that of an ellipsoid of the major axis that is as thick as it is wide.

    Args:
        measures: A dictionary of area, area_exc, feret, major and minor in pixels.
        pixel_mm: Side of a pixel in mm: 25.4 / dpi, not the rounded 0.0106 that ZooProcess writes for 2400 dpi.

    Returns:
        A dictionary.

    Example:

    >>> sizes = {"area": 2173, "area_exc": 2156, "feret": 71.281, "major": 62.823, "minor": 44.041}
    >>> found = millimetres(sizes, 25.4 / 2400)
    >>> [round(found[f"biovolume_{model}_mm3"], 7) for model in ("plain", "riddled", "ellipsoid")]
    [0.0903277, 0.0892698, 0.0756309]
    """
    area, area_exc = (measures[name] * pixel_mm**2 for name in ("area", "area_exc"))
    feret, major, minor = (measures[name] * pixel_mm for name in ("feret", "major", "minor"))
    return {
        "area_mm2": area,
        "esd_mm": 2 * math.sqrt(area / math.pi),
        "feret_mm": feret,
        "major_mm": major,
        "minor_mm": minor,
        "biovolume_plain_mm3": sphere(area),
        "biovolume_riddled_mm3": sphere(area_exc),
        "biovolume_ellipsoid_mm3": 4 / 3 * math.pi * (major / 2) * (minor / 2) ** 2,
    }


def sphere(area):
    """Gives the volume of the sphere whose shadow has this area.

    Example, a radius of 1:

    >>> round(sphere(math.pi), 4)
    4.1888
    """
    return 4 / 3 * math.pi * math.sqrt(area / math.pi) ** 3
