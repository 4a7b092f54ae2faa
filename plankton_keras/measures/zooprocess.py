"""What ZooProcess measures of an object, under its names; each is defined in docs/measures.md."""

import math

import cv2
import numpy as np

from plankton_keras.errors import InputError
from plankton_keras.measures import grays, outlines, shapes, sizes, symmetry

# ZooProcess' names, in the order of its header.
COLUMNS = (
    *("area", "mean", "stddev", "mode", "min", "max", "x", "y", "xm", "ym", "perim.", "bx", "by", "width", "height"),
    *("major", "minor", "angle", "circ.", "feret", "intden", "median", "skew", "kurt", "%area", "xstart", "ystart"),
    *("area_exc", "fractal", "skelarea", "slope", "histcum1", "histcum2", "histcum3", "xmg5", "ymg5"),
    *("nb1", "nb2", "nb3", "compentropy", "compmean", "compslope", "compm1", "compm2", "compm3"),
    *("symetrieh", "symetriev", "symetriehc", "symetrievc", "convperim", "convarea", "fcons", "thickr", "tag"),
    *sizes.DERIVED,
)
# Always 0 in ZooProcess 8, since it no longer computes them.
_ZERO = ("xmg5", "ymg5", "compentropy", "compmean", "compslope", "compm1", "compm2", "compm3")
# Without a meaning, and measured for parity only.
LEGACY_ONLY = (*_ZERO, "fcons", "tag")
# Decimals that ZooProcess writes.
_DECIMALS = {
    **dict.fromkeys(("major", "minor", "angle", "feret"), 1),
    **dict.fromkeys(("mean", "x", "y", "xm", "ym", "perim.", "%area"), 2),
    **dict.fromkeys(("stddev", "circ.", "skew", "kurt", "fractal", "slope", "fcons", "thickr"), 3),
    **dict.fromkeys(("symetrieh", "symetriev", "symetriehc", "symetrievc"), 3),
}
# Distance of the columns whose thickness is measured.
_THICKNESS_MM = 0.1


def measure(gray, mask, place, pixel_mm=None, threshold=243, legacy=False):
    """Measures one object as ZooProcess does.

    Args:
        gray: uint8 `(height, width)`, a crop of the scan with the object in it, white 255.
        mask: bool `(height, width)`, the object's pixels; its holes are filled here.
        place: `(left, top)` of the crop in the scan, in pixels.
        pixel_mm: Side of a pixel in mm, 25.4 / dpi; without it there are no millimetres, and thickr is None.
        threshold: What is brighter inside the object is a hole.
        legacy: As ZooProcess 8 writes it, for comparison with old data: rounded, derived from rounded values, with
            `LEGACY_ONLY` columns and its errors. Without it nothing is rounded.

    Returns:
        A dictionary of int, float, or None where a formula divides by nothing: `COLUMNS` in their order (without
        `LEGACY_ONLY` unless `legacy`), then, with `pixel_mm`, those of `sizes.millimetres`, which are never rounded.

    Raises:
        InputError: If the mask is empty or not of the crop's size.

    Example:

    >>> found = measure(np.full((4, 6), 200, np.uint8), np.ones((4, 6), bool), place=(10, 20), pixel_mm=25.4 / 2400)
    >>> found["area"], found["mean"], found["bx"], found["by"], round(found["elongation"], 2)
    (24, 200.0, 10, 20, 1.5)
    """
    _check(gray, mask, place)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    gray, filled = gray[box], outlines.fill_holes(mask[box])
    corner = (int(place[0] + columns[0]), int(place[1] + rows[0]))
    solid = filled & (gray <= threshold)
    # ZooProcess leaves the holes open where it measures rim, skeleton and symmetry, and fills them for the rest.
    body = solid if solid.any() else filled
    found = {
        **_sizes(gray, filled, solid, corner, legacy),
        **_shape(body, filled, pixel_mm, legacy),
        **_darkness(gray, solid, legacy),
        **dict.fromkeys(_ZERO, 0),
        "tag": 1,
    }
    found["skelarea"] = shapes.skeleton_area(body, found["minor"])
    found |= sizes.derive(found, legacy)
    physical = sizes.millimetres(found, pixel_mm) if pixel_mm else {}
    ordered = {name: found[name] for name in COLUMNS if legacy or name not in LEGACY_ONLY}
    return {**({name: _rounded(name, each) for name, each in ordered.items()} if legacy else ordered), **physical}


def _check(gray, mask, place):
    if gray.shape == mask.shape and mask.any():
        return
    sizes_of = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (gray, mask))
    fault = f"crop and mask are of {sizes_of} pixels" if gray.shape != mask.shape else "the mask is empty"
    raise InputError(
        f"The object at {place[0]}, {place[1]}: {fault}.",
        expected="a crop and a mask of one size, with at least one pixel of the object.",
        fix="cut both by the object's box.",
    )


def _sizes(gray, filled, solid, corner, legacy):
    """What is measured of the filled object and its gray levels."""
    height, width = filled.shape
    area, area_exc = int(np.count_nonzero(filled)), int(np.count_nonzero(solid))
    x, y, major, minor, angle = shapes.fit_ellipse(filled)
    perimeter = outlines.traced_perimeter(filled, imagej_start=legacy)
    weighted = cv2.moments(np.where(filled, gray, np.uint8(0)))
    weight = weighted["m00"]
    return {
        **grays.gray_statistics(gray[filled]),
        "area": area,
        "area_exc": area_exc,
        "%area": 100 - 100 * area_exc / area,
        "x": x + 0.5,
        "y": y + 0.5,
        "xm": weighted["m10"] / weight + 0.5 if weight else None,
        "ym": weighted["m01"] / weight + 0.5 if weight else None,
        "bx": corner[0],
        "by": corner[1],
        "width": width,
        "height": height,
        "xstart": corner[0] + int(filled[0].argmax()),
        "ystart": corner[1],
        "perim.": perimeter,
        "circ.": 4 * math.pi * area / perimeter**2,
        "major": major,
        "minor": minor,
        "angle": angle,
    }


def _shape(body, filled, pixel_mm, legacy):
    """What is measured of the mask alone."""
    hull = outlines.hull_points(filled)
    area, perimeter = outlines.hull_pixels(hull)
    levelled = symmetry.level(symmetry.largest_part(body))
    horizontal, vertical = symmetry.symmetry(levelled)
    step = max(1, math.floor(_THICKNESS_MM / pixel_mm)) if pixel_mm else None
    return {
        "feret": outlines.feret_diameter(hull),
        "convarea": area,
        "convperim": perimeter,
        "fractal": shapes.fractal_dimension(body),
        "symetrieh": horizontal,
        "symetriev": vertical,
        "thickr": symmetry.thickness_ratio(levelled, step, legacy) if step else None,
    }


def _darkness(gray, solid, legacy):
    """What is measured of the histogram of the object without its holes, and of its darker parts."""
    counts = np.bincount(gray[solid], minlength=256)[:255]
    names = ("slope", "histcum1", "histcum2", "histcum3", "nb1", "nb2", "nb3", "symetriehc", "symetrievc", "fcons")
    if not counts.any():
        return dict.fromkeys(names)
    found = grays.histogram_features(counts)
    cuts = [found[f"histcum{n}"] for n in (1, 2, 3)]
    found |= {f"nb{n}": grays.count_dark_parts(gray, solid, cut) for n, cut in enumerate(cuts, 1)}
    dark = symmetry.largest_part(solid & (gray <= cuts[2]))
    found["symetriehc"], found["symetrievc"] = symmetry.symmetry(symmetry.level(dark))
    return {**found, "fcons": grays.legacy_contrast(gray, solid, counts, cuts) if legacy else None}


def _rounded(name, value):
    return sizes.round_half_up(value, _DECIMALS[name]) if name in _DECIMALS and value is not None else value
