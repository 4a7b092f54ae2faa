"""ZooProcess' own metadata, `SCAN_meta.txt`, to samples.

Lines are `Key= value`. Positions are degrees.minutes, so that 47.5076 is 47 degrees and 50.76 minutes, and longitude is
positive to the west. 9999, 99999, 999999, -9 and nan stand for what is missing. An operator who keeps a part of the
catch on board writes the volume of that part as `Vol`: it is taken as it is, since no key tells the two apart.
"""

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

from plankton_keras.errors import InputError
from plankton_keras.sample_columns import COLUMNS, MISSING, POSITION
from plankton_keras.sample_tables import build

ENDING = "_meta.txt"
# Column of samples.csv by ZooProcess' key, in small letters.
KEYS = {
    "sampleid": "sample",
    "fracid": "fraction",
    "fracmin": "sieve_min_um",
    "fracsup": "sieve_max_um",
    "fracnb": "sub_part",
    "submethod": "sub_method",
    "vol": "volume_m3",
    "nettype": "net",
    "netmesh": "net_mesh_um",
    "netsurf": "net_surface_m2",
    "date": "date",
    "latitude": "latitude",
    "longitude": "longitude",
    "zmin": "depth_min_m",
    "zmax": "depth_max_m",
    "ship": "ship",
    "scientificprog": "program",
    "stationid": "station",
    "depth": "bottom_depth_m",
    "townb": "tow_number",
    "towtype": "tow_type",
    "scanop": "operator",
    "sample_comment": "comment",
}


def read_metadata(folder, stems=None):
    """Reads the metadata of a ZooProcess project.

    Args:
        folder: The folder in which, or in folders of which, `SCAN_meta.txt` stand.
        stems: Stems of the scans that are to have one, or None.

    Returns:
        A list of `sample_tables.Sample`, and a list of warnings in words.

    Raises:
        InputError: All problems at once, by file and column.
    """
    paths = sorted(Path(folder).rglob(f"*{ENDING}"))
    if not paths:
        raise InputError(
            f"{folder} has no *{ENDING}.",
            "the metadata that ZooProcess writes beside raw scans.",
            "name the folder that holds them, or a samples.csv.",
        )
    problems, cells = [], []
    for path in paths:
        texts = dict.fromkeys(("sample", "sub_part", "volume_m3"), "")
        for name, text in _values(path).items():
            try:
                texts[name] = _degrees(name, text) if name in POSITION and text else text
            except ValueError as error:
                texts[name] = None
                problems.append(f"{path.name}, {name}: {error}.")
        cells.append((path.name, {"scan": path.name.removesuffix(ENDING), **texts}))
    return build(folder, problems, cells, stems, "correct the metadata in ZooProcess")


def _values(path):
    """Reads the keys that are columns of ours; what is missing becomes empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.", "a text file.", "copy it again.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # ImageJ on Windows writes the letters of the system.
        text = content.decode("latin-1")
    found = {}
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        name = KEYS.get(key.strip().lower())
        found |= {name: _known(name, value.strip())} if name else {}
    # ZooProcess writes 20230626-0828.
    day = re.fullmatch(r"(\d{8})-(\d\d)(\d\d)(\d\d)?", found.get("date", ""))
    if day:
        found |= {"date": day[1], "time": ":".join(filter(None, day.groups()[1:]))}
    return found


def _known(name, text):
    """Gives the text, or "" of what stands for a missing number."""
    if COLUMNS[name].kind != "number":
        return text
    if text.lower() in ("nan", "na"):
        return ""
    try:
        number = float(text)
    except ValueError:
        return text
    return "" if number in (MISSING - {-9.0} if name in POSITION else MISSING) else text


def _degrees(name, text):
    """Turns degrees.minutes into decimal degrees, east positive.

    Example:

    >>> _degrees("latitude", "47.5076"), _degrees("longitude", "15.2622")
    ('47.846', '-15.437')
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is no number")
    # Not `abs`, for arithmetic overflows.
    if value.copy_abs() > 180:
        raise ValueError(f"{text!r} is not between -180 and 180")
    whole = int(value)
    minutes = (value - whole) * 100
    if abs(minutes) >= 60:
        raise ValueError(f"{text} has {abs(minutes).normalize():f} minutes; degrees.minutes have less than 60")
    degrees = whole + minutes / 60
    return str((-degrees if name == "longitude" else degrees).quantize(Decimal("0.00000001")).normalize())
