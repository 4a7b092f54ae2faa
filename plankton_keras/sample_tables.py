"""Samples: from which water the animals on the scans came, and for how many an animal stands.

A sample is what one tow caught. It is sieved into fractions, each is split, and a part of each is scanned. Values come
from samples.csv or from ZooProcess' own metadata (`zooprocess_metadata`), and pass the same checks.
"""

import dataclasses
import datetime
import difflib
import re

from plankton_keras.errors import InputError, and_others, did_you_mean
from plankton_keras.sample_columns import COLUMNS
from plankton_keras.samples import SCAN, listed, read_table

# Problems beyond these are counted only.
MOST_PROBLEMS = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fraction:
    """What of a sample is on one scan; the fields are columns of samples.csv.

    Attributes:
        scan: Stem of the scan.
        fraction: Its name, such as d1 or tot.
        sieve_min_um: Sieve that kept it, or None.
        sieve_max_um: Sieve that it passed, or None.
        sub_part: An animal on the scan stands for so many of the fraction; 1 or more.
        sub_method: How it was split.
    """

    scan: str
    fraction: str = ""
    sieve_min_um: float | None = None
    sieve_max_um: float | None = None
    sub_part: float
    sub_method: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """What one tow caught; the fields are columns of samples.csv, None or "" where nothing is known.

    Attributes:
        sample: Its name.
        fractions: A tuple of `Fraction`, a scan each.
        onboard_part: An animal kept on board stands for so many of the catch; 1 or more.
        volume_m3: Water that the net filtered.
        net, net_mesh_um, net_surface_m2: The net.
        latitude, longitude: Decimal degrees, north and east positive.
        date, time: Of the tow, in UTC.
        depth_min_m, depth_max_m: Of the tow.
        bottom_depth_m: Depth of the sea.
        tow_number: Of the tow at the station.
        ship, program, station, tow_type, operator, comment: Text; the operator is who scanned it.

    Example, of which a half was kept on board and a quarter of that scanned:

    >>> part = Fraction(scan="a", sub_part=4)
    >>> tow = Sample(sample="s", fractions=(part,), onboard_part=2, volume_m3=407, depth_min_m=312, depth_max_m=419)
    >>> round(tow.weight(part), 7), tow.depth_range
    (0.019656, 107)
    """

    sample: str
    fractions: tuple
    onboard_part: float = 1.0
    volume_m3: float | None = None
    net: str = ""
    net_mesh_um: float | None = None
    net_surface_m2: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    date: datetime.date | None = None
    time: datetime.time | None = None
    depth_min_m: float | None = None
    depth_max_m: float | None = None
    ship: str = ""
    program: str = ""
    station: str = ""
    bottom_depth_m: float | None = None
    tow_number: float | None = None
    tow_type: str = ""
    operator: str = ""
    comment: str = ""

    @property
    def depth_range(self):
        """Metres of depth that the tow went through; None if not known, or if it went through none."""
        if self.depth_min_m is None or self.depth_max_m is None:
            return None
        return self.depth_max_m - self.depth_min_m or None

    def weight(self, fraction):
        """Gives the animals in a cubic metre that one on this fraction's scan stands for; needs `volume_m3`."""
        return fraction.sub_part * self.onboard_part / self.volume_m3


def acquisition_of(sample, fraction):
    """Names the acquisition of EcoTaxa that a fraction of a sample is.

    Args:
        sample: Name of the sample.
        fraction: Name of the fraction; a whole sample has none.

    Example:

    >>> acquisition_of("station66", "d1"), acquisition_of("station66", "")
    ('d1_station66', 'tot_station66')
    """
    return f"{fraction or 'tot'}_{sample}"


def read_samples(path, stems=None):
    """Reads samples.csv.

    Args:
        path: The table; `sample_columns.template` shows one. Columns of other names are left to others.
        stems: Stems of the scans that are to have a row, or None.

    Returns:
        A list of `Sample`, and a list of warnings in words.

    Raises:
        InputError: All problems of the table at once, by row and column.
    """
    columns, rows = read_table(path)
    problems = _header_problems(columns)
    problems += [f"row {line} has more cells than columns." for line, row in rows if None in row]
    cells = [
        (f"row {line}", {name: (row.get(name) or "").strip() for name in COLUMNS if name in columns})
        for line, row in rows
    ]
    return build(path, problems, cells, stems, "correct the table")


def _header_problems(columns):
    if len(columns) == 1 and ";" in columns[0]:
        return ["its cells are separated by semicolons instead of commas."]
    unknown = [name for name in columns if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in columns]
    problems = [f"the column {name} stands there twice." for name in COLUMNS if columns.count(name) > 1]
    # A letter off is a slip, and would be left out silently; other names are somebody else's, such as of --split-by.
    slips = [name for name in unknown if difflib.get_close_matches(name, missing, n=1, cutoff=0.8)]
    problems += [f"the column {name!r} is not known.{did_you_mean(name, missing)}" for name in slips]
    needed = [name for name in missing if COLUMNS[name].required]
    return problems + [f"there is no column {name!r}.{did_you_mean(name, unknown)}" for name in needed]


def build(source, problems, cells, stems, fix):
    """Turns cells into samples, and checks all of them; for the readers.

    Args:
        source: The file or folder that errors name.
        problems: What is wrong already, in words.
        cells: List of `(place, dictionary of text by column)`, a scan each; None is what a problem is said of already.
        stems: As in `read_samples`.
        fix: What the user is to do.

    Returns:
        As `read_samples`.

    Raises:
        InputError: As `read_samples`.
    """
    rows, problems = [], list(problems)
    for place, texts in cells:
        values = {}
        for name, text in texts.items():
            if text is None:
                continue
            try:
                values[name] = COLUMNS[name].value(name, text)
                if values[name] in (None, "") and COLUMNS[name].required and name != "volume_m3":
                    problems.append(f"{place}, {name}: there is no value.")
            except ValueError as error:
                problems.append(f"{place}, {name}: {error}.")
        # A column that is not there is one without values; what is no value is said above.
        absent = dict.fromkeys(name for name in COLUMNS if name not in texts)
        problems += [f"{place}: {text}." for text in _contradictions(absent | values)]
        rows.append((place, values))
    problems += _twins(rows) + _namesake_acquisitions(rows) + _torn(rows)
    known = [values.get(SCAN) for _, values in rows]
    lost = [stem for stem in stems or () if stem not in known]
    problems += [f"there is nothing on {listed(lost)}."] if lost else []
    if problems or not rows:
        raise InputError(
            "\n  ".join([f"{source}:", *(_first(problems) or ["there is no sample."])]),
            "a row for each scan, in the columns of `plankton measure --template`.",
            f"{fix}; docs/ecology.md says what each column means.",
        )
    samples = _gathered(rows)
    spare = [stem for stem in known if stems is not None and stem not in stems]
    return samples, _warnings(samples) + (
        [f"The metadata also have rows of {listed(spare)}: not among these scans."] if spare else []
    )


def _first(problems):
    more = len(problems) - MOST_PROBLEMS
    return problems[:MOST_PROBLEMS] + ([f"and {more} more."] if more > 0 else [])


def _contradictions(values):
    for low, high in (("depth_min_m", "depth_max_m"), ("sieve_min_um", "sieve_max_um")):
        lower, upper = values.get(low), values.get(high)
        if None not in (lower, upper) and lower > upper:
            yield f"{low} {lower:g} is more than {high} {upper:g}"
    for one, other in (("depth_min_m", "depth_max_m"), ("latitude", "longitude")):
        if {one, other} <= set(values) and (values[one] is None) != (values[other] is None):
            yield f"one of {one} and {other} without the other"
    if values.get("latitude") == 0 == values.get("longitude"):
        yield "latitude and longitude 0 stand for a missing position; leave the cells empty"


def _twins(rows):
    """Names scans that stand there twice, and samples with two fractions of one name; none is `tot`."""
    problems, scans, fractions = [], {}, {}
    for place, values in rows:
        first = scans.setdefault(values.get(SCAN) or place, place)
        if first != place:
            problems.append(f"{place}, scan: {values[SCAN]} stands in {first} too.")
        # A scan without a fraction is packed as tot.
        sample, named = values.get("sample"), values.get("fraction")
        key = (sample, named or "tot") if sample else place
        first, known = fractions.setdefault(key, (place, named))
        if first != place:
            problems.append(
                f"{place}, fraction: the sample {sample} has "
                + (f"{named} in {first} too." if named and known else f"another scan in {first}; both need a fraction.")
            )
    return problems


def _namesake_acquisitions(rows):
    """Names fractions of two samples that EcoTaxa would take for one: it knows an acquisition by its name alone."""
    problems, first = [], {}
    for place, values in rows:
        sample, named = values.get("sample"), values.get("fraction")
        if not sample:
            continue
        name = acquisition_of(sample, named)
        place_of, other = first.setdefault(name, (place, sample))
        if other != sample:
            problems.append(
                f"{place}, fraction: with the sample {sample} it makes the acquisition {name} of EcoTaxa, as "
                f"{place_of} does with the sample {other}."
            )
    return problems


def _torn(rows):
    """Names values of a sample that differ between its rows."""
    problems, first = [], {}
    for place, values in rows:
        if not values.get("sample"):
            continue
        place_of, known = first.setdefault(values["sample"], (place, values))
        problems += [
            f"{place}, {name}: {_text(value)}, but {_text(known[name])} in {place_of}, which is of the same sample."
            for name, value in values.items()
            if not COLUMNS[name].of_scan and name in known and value != known[name]
        ]
    return problems


def _text(value):
    return "nothing" if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _gathered(rows):
    """Makes samples of rows that are without problems, in the order of their names' first places."""
    by_sample = {}
    for _, values in rows:
        by_sample.setdefault(values["sample"], []).append({k: v for k, v in values.items() if v is not None})
    return [
        Sample(
            **{name: value for name, value in mine[0].items() if not COLUMNS[name].of_scan},
            fractions=tuple(
                Fraction(**{name: value for name, value in row.items() if COLUMNS[name].of_scan}) for row in mine
            ),
        )
        for mine in by_sample.values()
    ]


def _warnings(samples):
    without = [each.sample for each in samples if each.volume_m3 is None]
    flat = [each.sample for each in samples if each.depth_range is None]
    whole = [
        each.sample
        for each in samples
        if len(each.fractions) > 1 and "tot" in {part.fraction for part in each.fractions}
    ]
    said = (
        (without, "no volume_m3: neither abundance nor biovolume in a cubic metre"),
        (flat, "no range of depths: nothing per square metre"),
        (whole, "a fraction tot beside others: animals in both count twice"),
    )
    return [f"{_named(names)} {text}." for names, text in said if names] + _namesakes(samples)


def _namesakes(samples):
    """Names samples that may be one: each would have a part of its abundance."""
    alike = {}
    for each in samples:
        alike.setdefault(re.sub(r"[\s_-]+", " ", each.sample.casefold()), []).append(each.sample)
    return [
        f"The samples {', '.join(names)} differ by capitals and signs only: scans of one sample need one name, or each "
        "counts as a sample of its own."
        for names in alike.values()
        if names[1:]
    ]


def _named(names):
    named = ", ".join(names[:10]) + and_others(len(names) - 10)
    return f"The sample{'s' if names[1:] else ''} {named} {'have' if names[1:] else 'has'}"
