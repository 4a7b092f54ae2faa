"""The columns of samples.csv: what each means, its range, and how its text becomes a value."""

import csv
import dataclasses
import datetime
import io
import math

# What people write where a number is missing; -9 is a place, though.
MISSING = {-9.0, 9999.0, 99999.0, 999999.0}
POSITION = ("latitude", "longitude")
# Characters of a text: EcoTaxa takes 250, and names an acquisition by fraction and sample together.
LONGEST = 120


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of samples.csv.

    Attributes:
        meaning: What stands in it, with the unit.
        example: The text of the template's row.
        kind: text, number, date or time.
        low: Least number; `above` says whether it has to be more.
        high: Largest number.
        above: Whether the number itself has to be more than `low`.
        of_scan: Whether each scan of a sample has its own.
        required: Whether the column has to be there.
    """

    meaning: str
    example: str = ""
    kind: str = "text"
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    of_scan: bool = False
    required: bool = False

    def value(self, name, text):
        """Reads a cell.

        Args:
            name: Name of the column.
            text: Text of the cell.

        Returns:
            A string, float, `datetime.date` or `datetime.time`; None of an empty cell that is no text.

        Raises:
            ValueError: What is wrong with it, in words.

        Example:

        >>> COLUMNS["latitude"].value("latitude", "47.846")
        47.846
        """
        missing = text.lower() in ("", "nan", "na")
        if self.kind == "text":
            if name == "sample" and text and missing:
                raise ValueError(f"{text!r} stands for a missing value, also for EcoTaxa; name it")
            # A comment is cut where it becomes too long; how long names of scans are is for `pairs` to say.
            if len(text) > LONGEST and name not in ("comment", "scan"):
                raise ValueError(f"it has {len(text)} characters, more than {LONGEST}")
            return text
        if missing:
            return None
        return {"number": self._number, "date": _date, "time": _time}[self.kind](name, text)

    def _number(self, name, text):
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
        if number in (MISSING - {-9.0} if name in POSITION else MISSING):
            raise ValueError(f"{text} stands for a missing value; leave the cell empty")
        if not (self.low < number if self.above else self.low <= number) or not number <= min(self.high, 1e300):
            raise ValueError(f"{text} is not {self._range()}")
        return number

    def _range(self):
        if self.high < math.inf:
            return f"between {self.low:g} and {self.high:g}"
        return f"above {self.low:g}" if self.above else f"{self.low:g} or more"


def _date(_, text):
    # Fewer digits would be read as well, 202311 as the first of January.
    form = "%Y%m%d" if len(text) == 8 and text.isdigit() else "%Y-%m-%d"
    try:
        date = datetime.datetime.strptime(text, form).date()
    except ValueError:
        raise ValueError(f"{text!r} is no date such as 2023-06-26") from None
    if not datetime.date(1800, 1, 1) <= date <= datetime.date.today() + datetime.timedelta(days=1):
        raise ValueError(f"{text} is not between 1800-01-01 and today")
    return date


def _time(_, text):
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            return datetime.datetime.strptime(text, form).time()
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time such as 08:28")


def _number(meaning, example, **values):
    return Column(meaning, example, "number", **values)


COLUMNS = {
    "scan": Column("name of the scan's file without suffix and _scan", "station66_d1", of_scan=True, required=True),
    "sample": Column("name of the sample; its scans share it", "station66", required=True),
    "fraction": Column("name of the size fraction on the scan, such as d1, d2 or tot", "d1", of_scan=True),
    "sieve_min_um": _number("sieve that kept the fraction, in um", "1000", low=0, above=True, of_scan=True),
    "sieve_max_um": _number(
        "sieve that the fraction passed, in um; empty if none", "", low=0, above=True, of_scan=True
    ),
    "sub_part": _number(
        "one part of how many of the fraction is on the scan: 8 if an eighth is",
        "8",
        low=1,
        of_scan=True,
        required=True,
    ),
    "sub_method": Column("how the fraction was split, such as motoda", "motoda", of_scan=True),
    "onboard_part": _number(
        "one part of how many of the catch was kept on board; empty if all, or if volume_m3 is of this part only",
        "2",
        low=1,
    ),
    "volume_m3": _number("volume of water that the net filtered, in m3", "407", low=0, above=True, required=True),
    "net": Column("kind of net", "bioness"),
    "net_mesh_um": _number("mesh of the net, in um", "200", low=0, above=True),
    "net_surface_m2": _number("opening of the net, in m2", "1", low=0, above=True),
    "latitude": _number("degrees north, decimal", "47.846", low=-90, high=90),
    "longitude": _number("degrees east, decimal; west is negative", "-15.437", low=-180, high=180),
    "date": Column("day of the tow in UTC, YYYY-MM-DD", "2023-06-26", "date"),
    "time": Column("start of the tow in UTC, HH:MM", "08:28", "time"),
    "depth_min_m": _number("least depth of the tow, in m", "312", low=0, high=11000),
    "depth_max_m": _number("largest depth of the tow, in m", "419", low=0, high=11000),
    "ship": Column("ship", "thalassa"),
    "program": Column("program or cruise", "apero"),
    "station": Column("station", "66"),
    "bottom_depth_m": _number("depth of the sea there, in m", "4000", low=0, high=11000),
    "tow_number": _number("number of the tow at the station", "1", low=0),
    "tow_type": Column("kind of tow, such as vertical or oblique", "oblique"),
    "operator": Column("who scanned it", ""),
    "comment": Column("anything else", ""),
}


def template():
    """Gives a samples.csv to start from.

    Returns:
        The text: a line on each column, which readers skip, the header, and a row as an example.

    Example:

    >>> print(template().splitlines()[1])
    # sample: name of the sample; its scans share it (required)
    """
    text = io.StringIO()
    for name, column in COLUMNS.items():
        text.write(f"# {name}: {column.meaning}{' (required)' if column.required else ''}\n")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, [column.example for column in COLUMNS.values()]])
    return text.getvalue()
