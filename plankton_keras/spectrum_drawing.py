"""A size spectrum laid out on logarithmic axes: where its points, bars, line and ticks stand on a picture."""

import math

WIDTH, HEIGHT = 400, 370
LEFT, RIGHT, TOP, BOTTOM = 64, 388, 38, 322
# More decades than this have a tick only every second or third.
MOST_TICKS = 7
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def middle_of(row):
    """Gives the geometric middle of a class in mm3, where its point stands and the line is fitted."""
    return math.sqrt(row["volume_low_mm3"] * row["volume_high_mm3"])


def fitted_line(rows, fit):
    """Gives the ends of the fitted line.

    Args:
        rows: Rows of spectra.csv as dictionaries, of one spectrum.
        fit: The row of slopes.csv of its least squares, or None.

    Returns:
        Two `(volume, density)`, at the first and the last class used; empty where nothing was fitted.

    Example:

    >>> classes = [{"volume_low_mm3": v / 2, "volume_high_mm3": v * 2, "used": True} for v in (1, 10, 100)]
    >>> fitted_line(classes, {"slope": -1.0, "intercept": 2.0})
    [(1.0, 100.0), (100.0, 1.0)]
    """
    used = [middle_of(row) for row in rows if row["used"]]
    if not used or not fit or fit["slope"] is None:
        return []
    return [(volume, 10 ** fit["intercept"] * volume ** fit["slope"]) for volume in (used[0], used[-1])]


def draw(rows, fit=None):
    """Lays out a spectrum; classes without an object have no point.

    Args:
        rows: Rows of spectra.csv as dictionaries, of one spectrum; one with an object at least.
        fit: The row of slopes.csv of its least squares, or None.

    Returns:
        A dictionary of the picture's `width` and `height`, the sides of its axes (`left`, `right`, `top`, `bottom`,
        `middle`), ticks as `(place, text)` (`volumes`, `diameters`, `densities`), `points` as dictionaries (`x`, `y`,
        `low`, `high`, `used`) and `line`, a list of `(x, y)`.
    """
    seen = [row for row in rows if row["nbss"] > 0]
    line = fitted_line(rows, fit)
    lowest = min(row["nbss"] for row in seen) / 10
    densities = [value for row in seen for value in (row["nbss"], max(row["low"] or 0, lowest), row["high"])]
    across = _Axis((seen[0]["volume_low_mm3"], seen[-1]["volume_high_mm3"]), (LEFT, RIGHT))
    up = _Axis([*densities, *(y for _, y in line)], (BOTTOM, TOP))
    # The bar of a class may reach below the picture: it ends there.
    points = [
        {"x": across(middle_of(row)), "y": up(row["nbss"]), "used": row["used"]}
        | {"low": up(max(row["low"] or 0, up.low)), "high": up(row["high"])}
        for row in seen
    ]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "top": TOP,
        "bottom": BOTTOM,
        "middle": ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2),
        "volumes": across.decades(),
        "diameters": _diameters(across),
        "densities": up.decades(),
        "points": points,
        "line": [(across(x), up(y)) for x, y in line],
    }


class _Axis:
    """A logarithmic axis of whole decades: values to places on the picture."""

    def __init__(self, values, ends):
        self.first, self.last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.last, self.ends, self.low = max(self.last, self.first + 1), ends, 10.0**self.first

    def __call__(self, value):
        share = (math.log10(value) - self.first) / (self.last - self.first)
        return round(self.ends[0] + share * (self.ends[1] - self.ends[0]), 2)

    def decades(self):
        step = -(-(self.last - self.first + 1) // MOST_TICKS)
        return [
            (self(10.0**power), "10" + str(power).translate(SUPERSCRIPTS))
            for power in range(self.first, self.last + 1, step)
        ]


def _diameters(axis):
    """Gives ticks of the diameters of spheres in mm: 1, 2 and 5 times powers of ten, or these alone on a long axis."""
    digits = (1, 2, 5) if axis.last - axis.first <= MOST_TICKS + 1 else (1,)
    sizes = [digit * 10.0**power for power in range(-4, 4) for digit in digits]
    volumes = [math.pi / 6 * size**3 for size in sizes]
    return [
        (axis(volume), f"{size:g}")
        for size, volume in zip(sizes, volumes, strict=True)
        if axis.first <= math.log10(volume) <= axis.last
    ]
