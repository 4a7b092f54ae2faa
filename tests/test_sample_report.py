"""The page of a sample: its numbers are those given, and its flags appear where they should."""

import base64
import dataclasses
import datetime
import math
import re

import cv2
import numpy as np
import pytest
from pages import Page

from plankton_keras.pages import figure
from plankton_keras.sample_flags import flags
from plankton_keras.sample_report import MOST_TAXA, Content, write_sample_report
from plankton_keras.sample_vignettes import choose, keep
from plankton_keras.spectrum_drawing import BOTTOM, LEFT, RIGHT, TOP, draw

MINUS = "\N{MINUS SIGN}"
TAXA = {"Copepoda": True, "detritus": False, "Salpida": True}
HEADINGS = ["Abundance", "Biovolume", "Size spectrum", "Overview", "Gallery", "Provenance"]


def object_row(label, taxon="Copepoda", **others):
    row = {
        "sample": "s",
        "scan": "a",
        "label": label,
        "taxon": taxon,
        "score": 0.5 + label / 1000,
        "cut_by_edge": False,
        "multiple": False,
    }
    return row | {"esd": 40.0 + label, "esd_mm": 0.4 + label / 1000, "area_mm2": 0.2, **others}


def abundance_rows(start=11.0):
    """Rows whose numbers are all different, with 4 digits each."""
    number = iter(start + np.arange(1000) / 100)
    for taxon, objects in (("detritus", 5), ("Copepoda", 120), ("Salpida", 0), ("all living", 120)):
        for quantity, models, units in (
            ("abundance", ("",), ("ind/m3", "ind/m2")),
            ("biovolume", ("plain", "riddled", "ellipsoid"), ("mm3/m3", "mm3/m2")),
        ):
            for model in models:
                for unit in units:
                    row = {"sample": "s", "taxon": taxon, "living": taxon != "detritus", "objects": objects}
                    row |= {"quantity": quantity, "model": model, "unit": unit, "expected": None}
                    row |= {name: round(float(next(number)), 2) for name in ("value", "low", "high")}
                    yield row | dict.fromkeys(("adjusted", "adjusted_low", "adjusted_high"))


def spectrum_rows(convention, model="plain"):
    for place, (nbss, used) in enumerate([(20.5, False), (80.25, True), (40.5, True), (0.0, False), (10.75, True)]):
        row = {"sample": "s", "model": model, "convention": convention, "class": place, "objects": 4 if nbss else 0}
        row |= {"volume_low_mm3": 0.5 * 2**place, "volume_high_mm3": 0.5 * 2.0 ** (place + 1)}
        row |= {"esd_low_um": 1000.0 + place, "esd_high_um": 1001.0 + place, "biovolume_mm3_m3": 31.5 + place}
        yield row | {"nbss": nbss, "low": nbss / 2, "high": 2 * nbss + 1, "used": used}


def slope_rows(convention, model="plain"):
    head = {"sample": "s", "model": model, "convention": convention}
    yield (
        head
        | {"method": "least squares", "slope": -1.25, "low": -1.5, "high": -1.125, "exponent": 2.25}
        | {
            "intercept": 2.25,
            "r2": 0.75,
            "classes": 3,
            "objects": 12,
        }
    )
    yield (
        head
        | {"method": "maximum likelihood", "slope": -1.375, "low": -1.75, "high": -1.0, "exponent": 2.375}
        | {
            "intercept": None,
            "r2": None,
            "classes": 3,
            "objects": 12,
        }
    )


def content(**others):
    objects = [object_row(label) for label in range(1, 121)] + [object_row(200 + k, "detritus") for k in range(5)]
    overlay = np.full((30, 40, 3), 200, np.uint8)
    sample = {"volume_m3": 203.5, "depth_min_m": 312.0, "depth_max_m": 419.0, "latitude": 47.846, "longitude": -15.437}
    whole = Content(
        name="s",
        scans=[{"scan": "a", "unlike_training": [], "overlay": overlay}],
        taxa=TAXA,
        classes=("ground", "Copepoda", "detritus", "Salpida"),
        sample=sample | {"date": datetime.date(2023, 6, 26), "time": datetime.time(8, 28)},
        objects=objects,
        abundance=list(abundance_rows()),
        spectra=[row for name in ("octaves", "quarter octaves") for row in spectrum_rows(name)],
        slopes=[row for name in ("quarter octaves", "octaves") for row in slope_rows(name)],
        vignettes=keep(objects, [np.full((20, 30), 77, np.uint8)] * len(objects)),
        provenance={
            "model": "runs/unet",
            "model_sha256": "0123abcd",
            "threshold": 0.4375,
            "versions": {"keras": "3.15"},
        },
    )
    return dataclasses.replace(whole, **others)


@pytest.fixture
def write(tmp_path):
    def write(what):
        write_sample_report(tmp_path / "report_s.html", what)
        assert [path.name for path in tmp_path.iterdir()] == ["report_s.html"]
        return (tmp_path / "report_s.html").read_text(encoding="utf-8")

    return write


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_every_number_of_the_abundance_stands_on_the_page(write):
    text = Page(write(content())).text
    for row in abundance_rows():
        # Biovolume is shown below a cubic metre, of taxa that are there.
        if row["unit"] == "mm3/m2" or (row["quantity"] == "biovolume" and not row["objects"]):
            continue
        assert f"\n{row['value']:.2f}\n{row['low']:.2f} to {row['high']:.2f}\n" in text, row


def test_no_number_with_a_fraction_comes_from_elsewhere(write):
    what = content()
    known = {f"{row[name]:.2f}" for row in what.abundance for name in ("value", "low", "high")}
    known |= {f"{row[name]:#.4g}" for row in what.spectra for name in ("nbss", "low", "high", "biovolume_mm3_m3")}
    known |= {
        f"{abs(row[name]):.2f}"
        for row in what.slopes
        for name in ("slope", "low", "high", "intercept", "r2")
        if row[name]
    }
    known |= {f"{each['esd_mm']:#.3g}" for each in what.vignettes} | {f"{each['score']:.2f}" for each in what.vignettes}
    known |= {"47.846", "15.437", "203.5", "0.4375", "3.15", "0.0", "0.5"}
    page = Page(write(what))
    drawn = {"svg", "figure"}
    assert drawn <= {tag for tag, *_ in page.tags}
    assert set(re.findall(r"\d+\.\d+", page.text)) - known == set()


def test_what_is_known_of_the_sample_stands_below_its_name(write):
    text = Page(write(content())).text
    assert text.startswith("Sample s\nSample s\n")
    for fact in ("2023-06-26 08:28 UTC", "47.846° N, 15.437° W", "312 to 419 m", "203.5 m³", "scans\na\n"):
        assert fact in text
    assert "objects\n125\nof them living\n120\nof them unclassified\n0.0\N{NO-BREAK SPACE}%" in text
    assert "0123abcd" in text


def test_all_living_come_first_then_the_most_abundant_and_absent_taxa_are_folded_away(write):
    text = write(content())
    names = re.findall(
        r'<th scope="row"><span>(.*?)</span>', text[text.index("<h2>Abundance") : text.index("<h2>Biovolume")]
    )
    assert names == ["all living", "Copepoda", "detritus", "Salpida"]
    folded = re.search(r"<details>\s*<summary>1 taxon without an object</summary>.*?</details>", text, re.DOTALL)
    assert "Salpida" in folded[0]
    assert "Copepoda" not in folded[0]
    assert "<details open" not in text
    # The animals of the first line are those of all living taxa.
    total = next(row for row in abundance_rows() if (row["taxon"], row["unit"]) == ("all living", "ind/m3"))
    assert f"<strong>{total['value']:.2f}</strong> living animals" in text


def test_probabilities_and_adjusted_numbers_have_columns_where_there_are_any(write):
    assert "by probabilities" not in write(content())
    rows = [
        {**row, "expected": 3.1234, "adjusted": 4.1234, "adjusted_low": 1.1, "adjusted_high": 9.1}
        for row in abundance_rows()
    ]
    text = Page(write(content(abundance=rows))).text
    assert "they lie around the number by probabilities" in text
    assert "3.123" in text
    assert "4.123\n1.100 to 9.100" in text
    assert "if classes are confused as on the vignettes of validation" in text
    # Of the salps, of which nothing bears the name, there may be some.
    assert "without an object" not in text
    assert "vignettes of validation" not in write(content())


def test_without_depths_there_is_no_column_below_a_square_metre(write):
    rows = [
        {**row, "value": None, "low": None, "high": None} if row["unit"].endswith("m2") else row
        for row in abundance_rows()
    ]
    assert "ind/m²" in write(content())
    assert "ind/m²" not in write(content(abundance=rows))


def test_the_spectrum_shows_points_line_and_slope(write):
    text = write(content())
    octaves, quarters = re.findall(r'<svg viewBox="0 0 400 370".*?</svg>', text, re.DOTALL)
    for svg in (octaves, quarters):
        assert (svg.count("<circle"), svg.count('class="hollow"')) == (4, 1)
        assert svg.count('class="ends"') == 4
        assert svg.count('class="fit"') == 1
    assert text.count(f"slope {MINUS}1.25, 95 % interval {MINUS}1.50 to {MINUS}1.12") == 2
    assert Page(text).text.index("octaves, least squares") < Page(text).text.index("quarter octaves, least squares")


def test_the_classes_of_the_first_spectrum_stand_there_in_numbers(write):
    text = Page(write(content())).text
    # Class 1: its diameters, objects, biovolume, density with interval, and that the line is fitted to it.
    assert "\n1 to 1\n4\n32.50\n80.25\n40.12 to 161.5\nyes\n" in text
    assert text.count("The classes in numbers") == 1
    assert text.count("0 to 1.000\nno") == 1


def test_a_spectrum_that_cannot_be_fitted_says_so(write):
    slopes = [{**row, "slope": None, "low": None, "high": None} for row in content().slopes]
    text = write(content(slopes=slopes))
    assert "Too few classes with four objects or more for a line." in text
    assert 'class="fit"' not in text
    assert "maximum likelihood" not in text


def test_places_on_logarithmic_axes():
    rows = [
        {"volume_low_mm3": 0.1, "volume_high_mm3": 10.0, "nbss": 10.0, "low": 1.0, "high": 100.0, "used": True},
        {"volume_low_mm3": 10.0, "volume_high_mm3": 1000.0, "nbss": 1.0, "low": 0.0, "high": 10.0, "used": False},
    ]
    drawing = draw(rows)
    # Volumes from 0.1 to 1000, densities from 0.1 (a tenth of the least) to 100: four and three decades.
    assert [text for _, text in drawing["volumes"]] == ["10⁻¹", "10⁰", "10¹", "10²", "10³"]
    assert [text for _, text in drawing["densities"]] == ["10⁻¹", "10⁰", "10¹", "10²"]
    first, second = drawing["points"]
    assert (first["x"], second["x"]) == (LEFT + (RIGHT - LEFT) / 4, LEFT + 3 * (RIGHT - LEFT) / 4)
    assert first["high"] == TOP
    assert second["low"] == BOTTOM
    assert second["y"] == pytest.approx(BOTTOM - (BOTTOM - TOP) / 3, abs=0.01)
    # A sphere of 1 mm has 0.5236 mm3.
    place = dict((text, x) for x, text in drawing["diameters"])["1"]
    assert place == pytest.approx(LEFT + (RIGHT - LEFT) * (math.log10(math.pi / 6) + 1) / 4, abs=0.01)


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ({"abundance": []}, ["Abundance", "Biovolume"]),
        ({"spectra": [], "slopes": []}, ["Size spectrum"]),
        ({"scans": [{"scan": "a", "unlike_training": [], "overlay": None}]}, ["Overview"]),
        ({"vignettes": []}, ["Gallery"]),
        ({"provenance": {}}, ["Provenance"]),
    ],
)
def test_what_is_missing_leaves_no_heading(write, missing, gone):
    assert headings(write(content())) == HEADINGS
    found = headings(write(content(**missing)))
    kept = [name for name in HEADINGS if name not in gone]
    # Without abundance the objects are still counted.
    assert found == (["Taxa", *kept] if "Abundance" in gone else kept)


def test_a_scan_without_metadata_has_its_objects_counted_by_taxon(write):
    text = Page(write(content(sample=None, abundance=[], spectra=[], slopes=[]))).text
    assert text.startswith("Scan s\n")
    assert "Copepoda\n120\ndetritus\n5\nSalpida\n0" in text


def said(**others):
    what = content(**others)
    return [each["text"] for each in flags(what.sample, what.scans, what.objects, what.taxa, what.lost)]


def test_a_sample_without_faults_has_no_flags(write):
    assert said() == []
    assert 'class="warning' not in write(content())


@pytest.mark.parametrize(
    ("others", "text"),
    [
        (
            {"scans": [{"scan": "a", "unlike_training": ["dark ground", "few objects"], "overlay": None}]},
            "a is unlike the training scans: dark ground; few objects.",
        ),
        (
            {"lost": ("b", "c")},
            "Without the scans b, c of this sample: all numbers are of its other scans alone.",
        ),
        ({"sample": None}, "No metadata of the sample: no abundance, biovolume or size spectrum."),
        ({"sample": {"date": 1}}, "No volume of water of the sample: no abundance, biovolume or size spectrum."),
        (
            {"objects": [object_row(label, area_mm2=None) for label in range(100)]},
            "No resolution of a: no millimetres, biovolume or size spectrum.",
        ),
        (
            {"objects": [object_row(label) for label in range(99)]},
            "Only 99 living objects: counts are uncertain by 10 % (1/√n) or more.",
        ),
        (
            {"objects": [object_row(label, "Copepoda" if label else "detritus") for label in range(5)]},
            "Only 4 living objects: counts are uncertain by 50 % (1/√n) or more.",
        ),
        ({"objects": []}, "No living object was found."),
        (
            {"objects": [object_row(label, "unclassified" if label < 11 else "Copepoda") for label in range(100)]},
            "11.0 % of the objects are unclassified.",
        ),
        (
            {"objects": [object_row(label, cut_by_edge=label < 6) for label in range(100)]},
            "6.0 % of the objects are cut by the edge of the scan, and measured too small.",
        ),
        (
            # 42 living objects of an ESD of 2 mm and 158 of 1 mm: 42 * 8 of 42 * 8 + 158 of the biovolume.
            {"objects": [object_row(label, multiple=label < 42, esd_mm=1.0 + (label < 42)) for label in range(200)]},
            "21.0 % of the living objects (68.0 % of their biovolume) may be several animals that touch; "
            "quality checks of ZooScan samples allow 20 %.",
        ),
    ],
)
def test_each_flag_appears_alone_where_it_should(write, others, text):
    assert said(**others) == [text]
    page = write(content(**others))
    assert page.count('class="warning') == 1
    assert text in Page(page).text


@pytest.mark.parametrize(
    "objects",
    [
        [object_row(label) for label in range(100)],
        [object_row(label, "unclassified" if label < 10 else "Copepoda") for label in range(100)],
        [object_row(label, cut_by_edge=label < 5) for label in range(100)],
        [object_row(label, multiple=label < 20) for label in range(100)],
        # Detritus does not count.
        [object_row(label, "detritus" if label < 50 else "Copepoda", multiple=label < 50) for label in range(200)],
    ],
)
def test_flags_stay_away_at_their_limits(objects):
    assert said(objects=objects) == []


def test_only_a_scan_unlike_the_training_scans_is_severe(write):
    scans = [{"scan": "a", "unlike_training": ["dark ground"], "overlay": None}]
    text = write(content(scans=scans, objects=[object_row(1)]))
    severe, other = re.findall(r'<p class="warning( severe)?"><strong>', text)
    assert (severe, other) == (" severe", "")
    assert "Only 1 living object: counts are uncertain by 100 % (1/√n) or more." in text


def test_names_are_escaped(write):
    bad = "<b>&\"'</b>"
    rows = [object_row(label, bad) for label in range(120)]
    abundance = [{**row, "taxon": bad if row["taxon"] == "Copepoda" else row["taxon"]} for row in abundance_rows()]
    text = write(
        content(
            name=bad,
            taxa={bad: True},
            classes=("ground", bad),
            scans=[{"scan": bad, "unlike_training": [bad], "overlay": np.zeros((2, 2, 3), np.uint8)}],
            objects=rows,
            abundance=abundance,
            vignettes=keep(rows, [np.zeros((5, 5), np.uint8)] * len(rows)),
            provenance={bad: bad},
        )
    )
    assert "<b>" not in text
    assert Page(text).open == []
    assert bad in Page(text).text


def test_the_page_is_one_file_that_loads_nothing_and_closes_what_it_opens(write):
    text = write(content())
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe| on\w+=", text)
    sources = [tag[name] for _, tag, _ in page.tags for name in ("src", "href", "srcset") if name in tag]
    assert sources
    assert all(re.match(r"data:image/(png|jpeg);base64,[\w+/=]+$", source) for source in sources)


def test_pictures_tables_and_drawings_say_what_they_are(write):
    page = Page(write(content()))
    assert all(image["alt"] for image in page.attributes("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.attributes("svg"))
    assert len(page.attributes("caption")) == len(page.attributes("table"))
    assert page.attributes("html") == [{"lang": "en"}]


def test_the_gallery_shows_the_most_probable_and_the_largest(write):
    text = write(content())
    shown = Page(text)
    # Of 120 copepods the last six score best, and they are the largest too: the next six are shown as large.
    labels = re.findall(r"\n(\d+)\n0\.\d+ mm, 0\.\d\d", shown.text)
    assert labels == [*map(str, range(120, 108, -1)), "204", "203", "202", "201", "200"]
    assert "(120 objects)" in shown.text
    picture = base64.b64decode(shown.attributes("img")[1]["src"].partition(",")[2])
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED).tolist() == [[77] * 30] * 20


def test_sizes_are_in_pixels_without_a_resolution(write):
    rows = [object_row(label, esd_mm=None, area_mm2=None) for label in range(120)]
    text = write(content(objects=rows, vignettes=keep(rows, [np.zeros((5, 5), np.uint8)] * 120)))
    assert "159 px, 0.62" in Page(text).text


def test_of_many_taxa_those_with_most_objects_are_shown(write):
    rows = [object_row(label, f"taxon {taxon:02}") for taxon in range(MOST_TAXA + 2) for label in range(taxon + 1)]
    text = write(content(objects=rows, vignettes=keep(rows, [np.zeros((5, 5), np.uint8)] * len(rows))))
    names = re.findall(r"<h3>(.*?) <span", text)
    assert names == [f"taxon {taxon:02}" for taxon in range(MOST_TAXA + 1, 1, -1)]
    assert "The 20 taxa with most objects are shown, 2 others are not." in text


def test_what_is_kept_of_scans_is_all_that_a_choice_among_all_needs():
    random = np.random.default_rng(3)
    rows = [
        object_row(label, scan=f"scan {label % 3}", score=float(random.random()), esd_mm=float(random.random()))
        for label in range(300)
    ]
    pictures = [np.full((200, 50), label % 256, np.uint8) for label in range(300)]
    kept = []
    for scan in range(3):
        mine = [(row, picture) for row, picture in zip(rows, pictures, strict=True) if row["scan"] == f"scan {scan}"]
        found = keep(*map(list, zip(*mine, strict=True)))
        assert len(found) == 24
        kept += found
    assert {each["picture"].shape for each in kept} == {(128, 32)}

    def labels(chosen):
        return {kind: [each["label"] for each in found] for kind, found in chosen["Copepoda"].items()}

    assert labels(choose(kept)) == labels(choose(rows))
    assert all((each["picture"] == each["label"] % 256).all() for each in kept)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.0196560, "amount", "0.01966"),
        (42.2, "amount", "42.20"),
        (999.96, "amount", "1,000"),
        (12345.6, "amount", "12,346"),
        (0, "amount", "0"),
        (-0.524, "short", f"{MINUS}0.52"),
    ],
)
def test_figures(value, kind, text):
    assert figure(value, kind) == text
