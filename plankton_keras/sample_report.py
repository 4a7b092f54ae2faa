"""One HTML page of a sample: what was found in it, how sure that is, and what it looks like."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from plankton_keras.ecology.abundance import TOTAL
from plankton_keras.pages import figure, flat, jpeg_uri, png_uri, write_page
from plankton_keras.sample_flags import flags, multiples, shares
from plankton_keras.sample_vignettes import choose
from plankton_keras.spectrum_drawing import draw
from plankton_keras.taxa import color_of

# A page shows vignettes of so many taxa, those with most objects.
MOST_TAXA = 20
# Spectra on the page are of this model; the tables have all of them.
MODEL = "plain"
# The first of them is the one in numbers.
CONVENTIONS = ("octaves", "quarter octaves")
# More classes than this have no legend.
MOST_COLORS = 20


@dataclass(frozen=True)
class Content:
    """What a page shows; all of it plain values.

    Attributes:
        name: The sample, or the scan where nothing is known of a sample.
        scans: List of dictionaries: `scan`; `unlike_training`, list of texts; `overlay`, uint8 `(height, width, 3)`
            blue green red, or None.
        taxa: Dictionary of all taxa that there could be, to whether each is living.
        classes: Names of the segmentation's classes by index, whose colours the overlays have.
        sample: Dictionary of what is known of the sample, by columns of samples.csv, or None without metadata.
        objects: Rows of objects.csv as dictionaries.
        abundance: Rows of abundance.csv as dictionaries, of this sample.
        spectra: Rows of spectra.csv likewise.
        slopes: Rows of slopes.csv likewise.
        vignettes: List of dictionaries as of `sample_vignettes.keep`.
        provenance: Dictionary of what made all this.
        lost: Stems of the sample's scans that are not measured.
    """

    name: str
    scans: list
    taxa: dict
    classes: tuple = ()
    sample: dict | None = None
    objects: list = field(default_factory=list)
    abundance: list = field(default_factory=list)
    spectra: list = field(default_factory=list)
    slopes: list = field(default_factory=list)
    vignettes: list = field(default_factory=list)
    provenance: dict = field(default_factory=dict)
    lost: tuple = ()


def write_sample_report(path, content):
    """Writes the page of a sample; what is not known has no heading.

    Args:
        path: The HTML file; it appears whole or not at all.
        content: `Content`.

    Example:

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "report_a.html"
    >>> write_sample_report(path, Content("a", [{"scan": "a", "unlike_training": [], "overlay": None}], {"salp": True}))
    >>> "No living object was found." in path.read_text(encoding="utf-8")
    True
    """
    write_page(path, "sample.html.j2", _view(content))


def _view(content):
    """Gives what the template shows."""
    abundance = _abundance(content)
    # Where counts are adjusted, a taxon of which nothing bears the name may be there.
    present = [row for row in abundance if row["objects"] or row.get("adjusted", 0) > 0]
    return {
        "kind": "Scan" if content.sample is None else "Sample",
        "name": content.name,
        "facts": _facts(content),
        "flags": flags(content.sample, content.scans, content.objects, content.taxa, content.lost),
        "lead": next((row for row in abundance if row["name"] == TOTAL), None),
        "present": present,
        "absent": [row for row in abundance if row not in present],
        "expected": any("expected" in row for row in abundance),
        "adjusted": any("adjusted" in row for row in abundance),
        "counts": [] if abundance else _counts(content),
        "volumes": _volumes(content),
        "spectra": _spectra(content),
        "slopes": _slopes(content),
        "overlays": [
            (scan["scan"], jpeg_uri(scan["overlay"])) for scan in content.scans if scan.get("overlay") is not None
        ],
        "legend": _legend(content.classes),
        **_gallery(content),
        "provenance": list(flat(content.provenance)),
    }


def _facts(content):
    """Gives what stands below the title, as `(label, text)`."""
    known, rows = content.sample or {}, content.objects
    facts = [("scans", ", ".join(scan["scan"] for scan in content.scans))] if content.sample else []
    if known.get("date"):
        facts.append(("date", f"{known['date']}{' {:%H:%M} UTC'.format(known['time']) if known.get('time') else ''}"))
    if known.get("latitude") is not None:
        facts.append(("position", f"{_degrees(known['latitude'], 'NS')}, {_degrees(known['longitude'], 'EW')}"))
    if known.get("depth_min_m") is not None:
        facts.append(("depths", f"{known['depth_min_m']:g} to {known['depth_max_m']:g} m"))
    if known.get("volume_m3"):
        facts.append(("water filtered", f"{known['volume_m3']:g} m³"))
    counted, part = sum(content.taxa.get(row["taxon"], True) for row in rows), shares(rows)
    facts += [("objects", f"{len(rows):,}"), ("of them living", f"{counted:,}")]
    names = {"unclassified": "of them unclassified", "cut": "of them cut by the edge"}
    facts += [(name, figure(part[key], "share")) for key, name in names.items() if rows]
    if counted:
        number, volume = (figure(share, "share") for share in multiples(rows, content.taxa))
        facts.append(("living, perhaps several that touch", f"{number}, {volume} of the biovolume"))
    return facts


def _degrees(value, letters):
    return f"{abs(value):g}° {letters[value < 0]}"


def _counts(content):
    """Gives the number of objects of each taxon, the most frequent first."""
    counts = Counter({taxon: 0 for taxon in content.taxa})
    counts.update(row["taxon"] for row in content.objects)
    return [{"name": taxon, "objects": count} for taxon, count in counts.most_common()]


def _known(**values):
    """Leaves out what is None, so that a column without any value is left out of a table."""
    return {key: value for key, value in values.items() if value is not None}


def _ends(row, low="low", high="high"):
    return None if row[low] is None or row[high] is None else {"low": row[low], "high": row[high]}


def _abundance(content):
    """Gives a row a taxon: all living together first, then the most abundant first."""
    rows, living = {}, content.taxa
    for row in content.abundance:
        if row["quantity"] == "abundance":
            per = row["unit"].removeprefix("ind/")
            mine = rows.setdefault(row["taxon"], {"name": row["taxon"], "objects": row["objects"]})
            mine |= _known(**{per: row["value"], f"{per}_ends": _ends(row)})
            if per == "m3":
                adjusted_ends = _ends(row, "adjusted_low", "adjusted_high")
                mine |= _known(expected=row["expected"], adjusted=row["adjusted"], adjusted_ends=adjusted_ends)
    if not all(living.values()):
        for name, mine in rows.items():
            mine["living"] = "yes" if living.get(name, True) else "no"
    return sorted(rows.values(), key=lambda mine: (mine["name"] != TOTAL, -mine.get("m3", 0)))


def _volumes(content):
    """Gives a row a taxon of its biovolume by each model, those with most first."""
    rows = {}
    for row in content.abundance:
        if row["unit"] == "mm3/m3" and row["objects"] and row["value"] is not None:
            mine = rows.setdefault(row["taxon"], {"name": row["taxon"]})
            mine |= _known(**{row["model"]: row["value"], f"{row['model']}_ends": _ends(row)})
    return sorted(rows.values(), key=lambda mine: (mine["name"] != TOTAL, -mine[MODEL]))


def _spectra(content):
    """Gives the drawings of the spectra by both conventions, octaves first."""
    found = []
    for convention in CONVENTIONS:
        rows = [row for row in content.spectra if (row["model"], row["convention"]) == (MODEL, convention)]
        fits = [row for row in content.slopes if (row["model"], row["convention"]) == (MODEL, convention)]
        fit = next((row for row in fits if row["method"] == "least squares"), None)
        if any(row["nbss"] > 0 for row in rows):
            fitted = fit and fit["slope"] is not None
            classes = [
                {**row, "name": _diameters(row), "ends": _ends(row), "in_fit": _yes(row["used"])} for row in rows
            ]
            found.append(
                {"convention": convention, "drawing": draw(rows, fit), "fit": fit if fitted else None, "rows": classes}
            )
    return found


def _yes(value):
    return "yes" if value else "no"


def _diameters(row):
    return f"{row['esd_low_um'] / 1000:.3g} to {row['esd_high_um'] / 1000:.3g}"


def _slopes(content):
    """Gives the rows of the slopes that were fitted, in the order of the drawings."""
    rows = [row for row in content.slopes if row["model"] == MODEL and row["slope"] is not None]
    rows.sort(key=lambda row: CONVENTIONS.index(row["convention"]))
    return [
        {**_known(**row), "name": f"{row['convention']}, {row['method']}", **_known(ends=_ends(row))} for row in rows
    ]


def _legend(classes):
    """Gives name and colour of the classes but the ground."""
    if len(classes) > MOST_COLORS:
        return []
    return [(name, "rgb({} {} {})".format(*color_of(index))) for index, name in enumerate(classes) if index]


def _gallery(content):
    """Gives the vignettes of the taxa with most objects."""
    counts = Counter(row["taxon"] for row in content.objects)
    chosen = choose(content.vignettes)
    taxa = [taxon for taxon, _ in counts.most_common() if taxon in chosen]
    several = len(content.scans) > 1
    gallery = [
        {
            "taxon": taxon,
            "objects": counts[taxon],
            "kinds": {
                kind: [_shown(each, several) for each in found] for kind, found in chosen[taxon].items() if found
            },
        }
        for taxon in taxa[:MOST_TAXA]
    ]
    return {"gallery": gallery, "left_out": len(taxa[MOST_TAXA:])}


def _shown(each, several):
    size = f"{each['esd']:.0f} px" if each["esd_mm"] is None else f"{each['esd_mm']:#.3g} mm"
    name = f"{each['scan']} {each['label']}" if several else str(each["label"])
    height, width = np.shape(each["picture"])
    uri = png_uri(each["picture"])
    return {"name": name, "size": size, "score": each["score"], "height": height, "width": width, "uri": uri}
