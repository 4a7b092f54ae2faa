"""HTML pages of one file: how they are written, and how numbers and pictures stand on them.

A page loads nothing, runs no script, and adapts to dark mode, to a phone and to print (templates/report.css).
"""

import base64
import math
from numbers import Real

import cv2
import jinja2

from plankton_keras.files import whole_file

MISSING = "\N{EN DASH}"
FORMATS = {
    "score": "{:.4f}".format,
    "gain": "{:+.4f}".format,
    "error": lambda value: f"{100 * value:+.1f}\N{NO-BREAK SPACE}%",
    "share": lambda value: f"{100 * value:.1f}\N{NO-BREAK SPACE}%",
    "place": "{:.2%}".format,
    "count": "{:,.0f}".format,
    "short": lambda value: f"{value:.2f}".replace("-", "\N{MINUS SIGN}"),
    "value": "{:.6g}".format,
    "amount": lambda value: f"{value:,.0f}" if abs(value) >= 999.95 or value == 0 else f"{value:#.4g}",
}


def write_page(path, template, view, **filters):
    """Writes a page.

    Args:
        path: The HTML file; it appears whole or not at all.
        template: Name of its template.
        view: Dictionary of what the template shows.
        filters: Functions that it uses, beside `figure`, `interval` and `filled`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("plankton_keras"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "interval": interval, "filled": filled, **filters}
    page = environment.get_template(template).render(view)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def figure(value, kind="score"):
    """Formats a figure; every number of the page goes through here.

    Args:
        value: The number; None, NaN and what is absent become a dash.
        kind: `score` (0..1, four digits), `gain` (with its sign), `error` and `share` (in percent), `count`,
            `short` (two digits), `amount` (four digits that count), or `value`, for everything else that has a unit.

    Returns:
        The text.

    Example:

    >>> figure(0.87654), figure(-0.02, "gain"), figure(1234, "count")
    ('0.8765', '-0.0200', '1,234')
    """
    return FORMATS[kind](value) if isinstance(value, Real) and math.isfinite(value) else MISSING


def interval(ends, kind="score"):
    """Formats an interval.

    Args:
        ends: A dictionary with `low` and `high`, or nothing.
        kind: As of `figure`.

    Returns:
        The text; empty where an end is unknown.

    Example:

    >>> interval({"low": 0.81, "high": 0.9})
    '0.8100 to 0.9000'
    """
    low, high = (figure((ends or {}).get(end), kind) for end in ("low", "high"))
    return "" if MISSING in (low, high) else f"{low} to {high}"


def filled(columns, rows):
    """Chooses the columns of a table that any of its rows has.

    Args:
        columns: Lists that start with a key.
        rows: List of dictionaries.

    Returns:
        Those columns.

    Example:

    >>> filled([("f1", "F1"), ("iou", "IoU")], [{"f1": 1.0}])
    [('f1', 'F1')]
    """
    return [column for column in columns if any(column[0] in row for row in rows)]


def flat(values, prefix=""):
    """Gives nested settings as rows of a table.

    Args:
        values: Dictionary of texts, numbers, lists and such dictionaries.
        prefix: What stands before each name.

    Yields:
        Dictionaries of a `name` and a `text`.

    Example:

    >>> list(flat({"model": "unet", "versions": {"keras": "3.15.1"}}))[1]
    {'name': 'versions, keras', 'text': '3.15.1'}
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flat(value, f"{name}, ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield {"name": name, "text": figure(value, "value") if value is None or isinstance(value, float) else text}


def png_uri(array):
    """Encodes an image as a data URI that loses nothing.

    Args:
        array: uint8, gray levels `(height, width)`, or blue green red (and alpha).

    Returns:
        The text.
    """
    return _uri("png", cv2.imencode(".png", array)[1])


def jpeg_uri(array):
    """Encodes a photograph as a data URI; as `png_uri`, small, and with the losses of JPEG."""
    return _uri("jpeg", cv2.imencode(".jpg", array, (cv2.IMWRITE_JPEG_QUALITY, 80))[1])


def _uri(kind, content):
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")
