"""Checks of single values and pictures by the rules of EcoTaxa; each gives what is wrong, or None."""

import datetime
import io
import math
import re

from plankton_keras.ecotaxa.rules import (
    DEPTH,
    LATITUDE,
    LONGITUDE,
    MAX_SIDE,
    MISSING,
    PARENTS,
    PICTURE_FORMATS,
    PICTURE_MODES,
    POSITIONS,
    SENTINELS,
    TEXT_LENGTH,
)
from plankton_keras.images import PillowImage

# Degrees, minutes and seconds, as UVPapp writes them.
_ANGLE = re.compile(r"(-?)(\d+)°(\d+) (\d+)")
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "GIF": b";"}


def number_of(text):
    """Reads a number.

    Args:
        text: What stands in a cell.

    Returns:
        A float; None where it is missing or no finite number.

    Example:

    >>> number_of("1e-3"), number_of("nan"), number_of("inf")
    (0.001, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def wrong_number(text):
    """Checks a number: finite, or missing.

    Example:

    >>> wrong_number("1,5"), wrong_number("NaN")
    ("'1,5' is no finite number", None)
    """
    return None if text.lower() in MISSING or number_of(text) is not None else f"{text!r} is no finite number"


def wrong_text(text):
    """Checks the length of a text.

    Example:

    >>> wrong_text("x" * 251)
    'has 251 characters, which is more than 250'
    """
    return f"has {len(text)} characters, which is more than {TEXT_LENGTH}" if len(text) > TEXT_LENGTH else None


def wrong_position(column, text):
    """Checks a latitude or a longitude.

    Example:

    >>> wrong_position("object_lat", "47°30 36"), wrong_position("object_lat", "-90.5")
    (None, "'-90.5' is not within 90 degrees")
    """
    if text.lower() in MISSING:
        return None
    found, most = _ANGLE.fullmatch(text), LONGITUDE if "_lon" in column else LATITUDE
    if found:
        degrees, minutes, seconds = map(float, found.groups()[1:])
        value = degrees + minutes / 60 + seconds / 3600
    else:
        value = number_of(text)
    return None if value is not None and abs(value) <= most else f"{text!r} is not within {most} degrees"


def wrong_date(text):
    """Checks a date.

    Example:

    >>> wrong_date("20230626"), wrong_date("2023-02-30")
    (None, "'2023-02-30' is no date YYYYMMDD or YYYY-MM-DD")
    """
    try:
        if not text or (re.fullmatch(r"\d{8}|\d{4}-\d\d-\d\d", text) and datetime.date.fromisoformat(text)):
            return None
    except ValueError:
        pass
    return f"{text!r} is no date YYYYMMDD or YYYY-MM-DD"


def wrong_time(text):
    """Checks a time of day.

    Example:

    >>> wrong_time("08:28:00.000"), wrong_time("0828"), wrong_time("2460")
    (None, None, "'2460' is no time HHMM, HHMMSS or HH:MM:SS")
    """
    found = re.fullmatch(r"(\d\d)(\d\d)(\d\d)?", text) or re.fullmatch(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)?", text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (24, 60, 60)
    is_time = hours < 24 and minutes < 60 and seconds < 60
    return None if not text or is_time else f"{text!r} is no time HHMM, HHMMSS or HH:MM:SS"


def wrong_depth(least, greatest):
    """Checks a range of depths.

    Args:
        least: m, or None.
        greatest: m, or None.

    Returns:
        `(column, what)`, or None.

    Example:

    >>> wrong_depth(400, 300)
    ('object_depth_max', '300 m is less than the least depth, 400 m')
    """
    for column, value in (("object_depth_min", least), ("object_depth_max", greatest)):
        if value is not None and value not in SENTINELS and not 0 <= value <= DEPTH:
            return column, f"{value:g} m is not between 0 and {DEPTH} m"
    if least is not None and greatest is not None and greatest < least <= DEPTH:
        return "object_depth_max", f"{greatest:g} m is less than the least depth, {least:g} m"
    return None


def wrong_value(column, text, is_number):
    """Checks a value by what its column holds.

    Args:
        column: Name of the column.
        text: The value without spaces around it.
        is_number: Whether the column is one of numbers.

    Returns:
        `(rule, what)`, the rule a key of `ecotaxa.rules.RULES`; or None.

    Example:

    >>> wrong_value("object_date", "26/06/2023", False)
    ('date', "'26/06/2023' is no date YYYYMMDD or YYYY-MM-DD")
    >>> wrong_value("sample_bottomdepth", "99999", True)
    ('sentinel', "'99999' stands for what is unknown")

    Nine degrees west or south are a place:

    >>> wrong_value("object_lon", "-9", True), wrong_value("object_lat_end", "99999", True)
    (None, ('position', "'99999' is not within 90 degrees"))
    """
    kind, wrong = "text", wrong_text
    if column.startswith(("object_lat", "object_lon")) and column in POSITIONS:
        kind, wrong = "position", lambda value: wrong_position(column, value)
    elif is_number:
        kind, wrong = "number", wrong_number
    elif column in ("object_date", "object_annotation_date"):
        kind, wrong = "date", wrong_date
    elif column in ("object_time", "object_annotation_time"):
        kind, wrong = "time", wrong_time
    if what := wrong(text):
        return kind, what
    is_metadata = column in POSITIONS or (is_number and column.startswith(tuple(f"{each}_" for each in PARENTS)))
    if not is_metadata or not is_sentinel(text) or (kind == "position" and number_of(text) == -9):
        return None
    return "sentinel", f"{text!r} stands for what is unknown"


def is_sentinel(text):
    """Tells a number that stands for "unknown".

    Example:

    >>> is_sentinel("99999.0"), is_sentinel("99.99")
    (True, False)
    """
    return number_of(text) in SENTINELS


def wrong_picture(content):
    """Checks a picture by its header and its end; it is not decoded.

    Args:
        content: Bytes of the file.

    Returns:
        What is wrong, or None.

    Example:

    >>> wrong_picture(b"no picture")
    'is no PNG, JPEG or GIF'
    """
    try:
        with PillowImage.open(io.BytesIO(content), formats=PICTURE_FORMATS) as picture:
            kind, mode, (width, height) = picture.format, picture.mode, picture.size
    except Exception:  # A damaged header raises errors of many kinds.
        kind = None
    if kind not in PICTURE_FORMATS:
        return "is no " + ", ".join(PICTURE_FORMATS[:-1]) + f" or {PICTURE_FORMATS[-1]}"
    # Byte 24 of a PNG holds its bits; Pillow reads colours of 16 bit as those of 8.
    if mode not in PICTURE_MODES or (kind == "PNG" and content[24] == 16):
        return "is not of 8 bit, gray or colour"
    if max(width, height) > MAX_SIDE:
        return f"has {width} x {height} pixels, more than {MAX_SIDE} a side"
    return None if _ENDS[kind] in content[-4096:] else "is cut off"
