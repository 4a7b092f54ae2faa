"""report: the figures of metrics.json and nothing else, on a page that loads nothing and closes what it opens."""

import base64
import math
import re

import cv2
import numpy as np
import pytest
from pages import Page

from plankton_keras.report import figure, interval, write_report
from plankton_keras.taxa import color_of

SCORES = {"precision": 0.5111, "recall": 0.5222, "f1": 0.5333, "iou": 0.5444}
OBJECTS = {"precision": 0.6111, "recall": 0.6222, "f1": 0.6333, "pq": 0.6444, "ap50": 0.6555, "ap": 0.6666}


def metrics_of_scans():
    """Figures that are all different, so that each must be found by itself."""
    ends = {"low": 0.1111, "high": 0.9111}
    return {
        "model": "runs/unet",
        "model_sha256": "0123abcd",
        "data": "scans",
        "split": "test",
        "threshold": 0.4375,
        "pixel": {"accuracy": 0.5555, "balanced_accuracy": 0.5666, **SCORES},
        "classes": {
            "ground": {
                "precision": 0.7011,
                "recall": 0.7022,
                "f1": 0.7033,
                "iou": 0.7044,
                "accuracy": 0.7,
                "support": 60,
            },
            "Copepoda": {"precision": 0.7111, "recall": 0.7122, "f1": 0.7133, "iou": 0.7144, "support": 0},
            "Fish": {"precision": 0.7211, "recall": 0.7222, "f1": 0.7233, "iou": 0.7244, "support": 4321},
        },
        "confusion": [[51, 6, 3], [0, 0, 0], [1000, 321, 3000]],
        "objects": {
            **OBJECTS,
            "true": 71,
            "predicted": 72,
            "splits": 73,
            "merges": 74,
            "by_iou": [{"iou": 0.55, "precision": 0.6011, "recall": 0.6022, "f1": 0.6033, "pq": 0.6044, "ap": 0.6055}],
        },
        "sizes": {
            "unit": "mm",
            "bins": [
                {"low": 0.25, "high": 0.5, "true": 81, "found": 82, "recall": 0.8011}
                | {"predicted": 83, "right": 84, "precision": 0.8022},
                {"low": 1.5, "high": None, "true": 0, "found": 0, "recall": None}
                | {"predicted": 0, "right": 0, "precision": None},
            ],
        },
        "counts": {
            "Copepoda": {"true_objects": 0, "predicted_objects": 85, "count_error": None}
            | {"true_pixels": 1086, "predicted_pixels": 1087, "area_error": -0.0612},
            "Fish": {"true_objects": 88, "predicted_objects": 89, "count_error": 0.25}
            | {"true_pixels": 1090, "predicted_pixels": 1091, "area_error": 0.125},
        },
        "curves": {
            "threshold": [0, 0.5, 1],
            "precision": [0.3, 0.6, None],
            "recall": [1, 0.7, 0],
            "f1": [0.4, 0.65, 0],
        },
        "calibration": {
            "ece": 0.0123,
            "brier": 0.0234,
            "bins": [
                {"low": 0.0, "high": 0.5, "confidence": 0.2011, "share": 0.2022, "pixels": 92_001},
                {"low": 0.5, "high": 1.0, "confidence": None, "share": None, "pixels": 0},
            ],
        },
        "intervals": {
            "pixel": {"f1": {"low": 0.3011, "high": 0.3022}, "recall": {"low": 0.3033, "high": 0.3044}},
            "objects": {"f1": {"low": 0.3055, "high": 0.3066}},
            "scans": 2,
            "unit": "scans",
            "note": "Two scans say little.",
        },
        "scans": [
            {"scan": "one", "pixel": {"f1": 0.4011, "precision": 0.4022, "recall": 0.4033}, "objects": {"f1": 0.4044}}
            | {"counts": {"found": 3101, "false": 3102, "missed": 3103}}
            | {
                "shift": {
                    "unlike": True,
                    "why": ["darker ground"],
                    "ground": 201.5,
                    "contrast": 33.25,
                    "confidence": 0.77,
                }
            },
            {"scan": "two", "pixel": {"f1": 0.4055, "precision": 0.4066, "recall": 0.4077}, "objects": {"f1": 0.4088}},
        ],
        "errors": [
            {"scan": "two", "kind": "missed", "class": "Fish", "top": 4101, "left": 4102}
            | {"height": 4103, "width": 4104, "pixels": 4105},
            {
                "scan": "two",
                "kind": "false",
                "class": "Copepoda",
                "top": 1,
                "left": 2,
                "height": 3,
                "width": 4,
                "pixels": 5,
            },
        ],
        "baselines": {
            "threshold": {"pixel": {"f1": 0.2511}, "scans": [{"scan": "one", "pixel": {"f1": 0.2522}}]}
            | {"intervals": {"pixel": {"f1": {"low": 0.2533, "high": 0.2544}}}},
            "all ground": {"pixel": {"f1": 0.2555, "precision": math.nan}},
        },
        "gain": {"f1": 0.2822, "low": 0.1011, "high": 0.4321, "scans": 2},
        "runs": [
            {"model": "runs/unet", "pixel": SCORES, "objects": OBJECTS, "intervals": {"pixel": {"f1": ends}}},
            {"model": "runs/other", "pixel": {"f1": 0.4901}, "gain": {"f1": -0.0712, "low": -0.2, "high": 0.1}},
        ],
        "comparison": [
            {"one": "runs/unet", "other": "runs/other", "f1": 0.0432, "low": -0.0111, "high": 0.0987, "scans": 2}
        ],
        "warnings": [
            {"severe": False, "text": "A small thing."},
            {"severe": True, "text": "Scans of the training were scored."},
        ],
        "provenance": {
            "versions": {"keras": "3.15.1"},
            "created": "2026-11-24",
            "command": "plankton evaluate",
            "training": {
                "epochs": 17,
                "learning_rate": 0.0003,
                "loss": {"name": "dice"},
                "scans": ["a", "b"],
                "none": None,
            },
        },
    }


def metrics_of_vignettes(count=3):
    confusion = np.diag(np.arange(10, 10 + count))
    confusion[0, 1] = 7
    scores = {"precision": 0.7111, "recall": 0.7222, "f1": 0.7333}
    return {
        "model": "runs/classifier",
        "data": "vignettes",
        "split": "test",
        "vignettes": 1234,
        "accuracy": 0.8111,
        "balanced_accuracy": 0.8222,
        "macro_f1": 0.8333,
        "macro_precision": 0.8444,
        "macro_recall": 0.8555,
        "top3_accuracy": 0.8666,
        "living_balanced_accuracy": 0.8777,
        "classes": {f"class {index}": {**scores, "support": int(confusion[index].sum())} for index in range(count)},
        "confusion": confusion.tolist(),
    }


@pytest.fixture
def write(tmp_path):
    """Writes a report and reads it."""

    def write(metrics, crops=()):
        write_report(tmp_path / "report.html", metrics, crops)
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return write


def crops_of(count):
    """Crops whose pixel in row 1, column 2 is gray level 77, class 2 in truth, and class 1 in the prediction."""
    scan, truth, predicted = np.full((3, 4), 240, np.uint8), np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8)
    scan[1, 2], truth[1, 2], predicted[1, 2] = 77, 2, 1
    return [(scan, truth, predicted)] * count


# What has a unit of its own and so is not shown with four digits.
VALUES = re.compile(r"threshold|objects by_iou iou|(sizes|calibration) bins (low|high)|scans shift .*|provenance .*")


def shown(keys, value):
    """How a figure is expected to stand on the page, written apart from the module."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value) if re.match("provenance|errors (top|left)", keys) else f"{value:,}"
    if keys.endswith("_error"):
        return f"{100 * value:+.1f}\N{NO-BREAK SPACE}%"
    if re.search("gain|comparison", keys):
        return f"{value:+.4f}"
    return f"{value:g}" if VALUES.fullmatch(keys) else f"{value:.4f}"


def leaves(values, keys=""):
    """The figures and words of nested dictionaries, each with its keys."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, f"{keys} {key}".strip())
    elif isinstance(values, list):
        for value in values:
            yield from leaves(value, keys)
    elif values is not None and not isinstance(values, bool) and str(values) != "nan":
        yield keys, values


@pytest.mark.parametrize("metrics", [metrics_of_scans(), metrics_of_vignettes(), metrics_of_vignettes(20)])
def test_every_figure_and_every_word_stands_on_the_page(write, metrics):
    text = Page(write(metrics)).text
    numbers = {word for line in text.split("\n") for word in re.split(r" |, (?=\D)|[,;:.]?$", line)}
    # Curves are drawn, and so is a confusion matrix of many classes; words of the kind of an error are spelt out.
    drawn = r"curves .*|errors kind|" + ("confusion" if len(metrics["classes"]) > 12 else "-")
    absent = {
        keys: value
        for keys, value in leaves(metrics)
        if not re.fullmatch(drawn, keys)
        and (shown(keys, value) not in text if isinstance(value, str) else shown(keys, value) not in numbers)
    }
    assert absent == {}


def test_nothing_but_figures_of_the_metrics_has_four_digits(write):
    metrics = metrics_of_scans()
    known = {shown(keys, value).strip("+-") for keys, value in leaves(metrics)}
    assert set(re.findall(r"\b0\.\d{4}\b", Page(write(metrics)).text)) <= known


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.99995, "score", "1.0000"),
        (0.12344, "score", "0.1234"),
        (1, "score", "1.0000"),
        (0.05, "gain", "+0.0500"),
        (-0.05, "gain", "-0.0500"),
        (0.1, "error", "+10.0\N{NO-BREAK SPACE}%"),
        (0.931, "share", "93.1\N{NO-BREAK SPACE}%"),
        (12345678, "count", "12,345,678"),
        (16384.0, "value", "16384"),
        (1e-05, "value", "1e-05"),
        (np.float32(0.5), "score", "0.5000"),
        (np.int64(1200), "count", "1,200"),
        (None, "score", "\N{EN DASH}"),
        (math.nan, "count", "\N{EN DASH}"),
        (math.inf, "error", "\N{EN DASH}"),
        ("0.5", "score", "\N{EN DASH}"),
    ],
)
def test_figures(value, kind, text):
    assert figure(value, kind) == text


def test_an_interval_without_both_ends_is_empty():
    assert (interval(None), interval({}), interval({"low": 0.1})) == ("", "", "")
    assert interval({"low": None, "high": 0.5}) == ""


def test_names_are_escaped(write):
    metrics = metrics_of_scans() | {"model": "<b>bold</b>", "warnings": [{"severe": False, "text": "<i>& so"}]}
    metrics["errors"][0]["class"] = '"><script>alert(1)</script>'
    page = write(metrics, crops_of(2))
    assert "<title>Evaluation of &lt;b&gt;bold&lt;/b&gt;</title>" in page
    assert "&lt;i&gt;&amp; so" in page
    assert {tag for tag, _, _ in Page(page).tags} & {"b", "i", "script"} == {"i"}
    assert {} not in Page(page).attributes("i")


@pytest.mark.parametrize("metrics", [metrics_of_scans(), metrics_of_vignettes(), metrics_of_vignettes(20), {}])
def test_the_page_closes_what_it_opens_and_loads_nothing(write, metrics):
    text = write(metrics, crops_of(2) if "errors" in metrics else ())
    page = Page(text)
    assert page.open == []
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|//\w|src=|url\(|@import|<script|<link|<iframe", text)
    ids = [attributes["id"] for _, attributes, _ in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in page.tags:
        target = attributes.get("href", "data:")
        assert target.startswith("data:image/png;base64,") or target == "data:" or target.removeprefix("#") in ids


@pytest.mark.parametrize("metrics", [metrics_of_scans(), metrics_of_vignettes(), metrics_of_vignettes(20)])
def test_tables_and_drawings_are_readable_to_a_screen_reader(write, metrics):
    page = Page(write(metrics, crops_of(2) if "errors" in metrics else ()))
    tables, captions = (len(page.attributes(tag)) for tag in ("table", "caption"))
    assert tables == captions == sum(attributes.get("class") == "scroll" for attributes in page.attributes("div"))
    assert {attributes.get("scope") for attributes in page.attributes("th")} == {"row", "col"}
    assert all("aria-label" in each or "aria-hidden" in each for each in page.attributes("svg"))
    assert page.attributes("html") == [{"lang": "en"}]
    headings = [int(tag[1]) for tag, _, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert max(np.diff(headings)) == 1


def headings_of(text):
    return re.findall(r"<h2>(.*)</h2>", text)


HEADINGS = {
    "pixel": "Living pixels",
    "objects": "Objects",
    "runs": "Runs compared",
    "scans": "Scans",
    "curves": "Curves",
    "calibration": "Reliability",
    "sizes": "Size",
    "confusion": "Confusions",
    "classes": "Classes",
    "counts": "Counts and areas",
    "errors": "Worst errors",
}


def test_the_sections_stand_in_their_order(write):
    assert headings_of(write(metrics_of_scans())) == [*HEADINGS.values(), "Provenance", "Model card"]


@pytest.mark.parametrize("key", [key for key in metrics_of_scans() if key != "confusion"])
@pytest.mark.parametrize("without", [{}, None], ids=["absent", "null"])
def test_what_is_missing_leaves_no_heading(write, key, without):
    metrics = metrics_of_scans()
    metrics.pop(key)
    if without is None:
        metrics[key] = None
    if key == "classes":
        metrics.pop("confusion")
    gone = {HEADINGS.get(key), "Confusions" if key == "classes" else None}
    expected = [heading for heading in headings_of(write(metrics_of_scans())) if heading not in gone]
    assert headings_of(write(metrics)) == expected


def test_metrics_without_anything_still_make_a_page(write):
    assert headings_of(write({})) == ["Model card"]
    assert headings_of(write(metrics_of_vignettes())) == [
        "Vignettes",
        "Confusions",
        "Classes",
        "Provenance",
        "Model card",
    ]


def test_a_severe_warning_comes_first_and_says_so_in_words(write):
    text = write(metrics_of_scans())
    severe = '<p class="warning severe"><strong>Severe warning:</strong> Scans of the training were scored.</p>'
    assert text.index(severe) < text.index('<p class="warning"><strong>Warning:</strong> A small thing.</p>')
    assert text.index(severe) < text.index("<h2>")
    assert "<li><strong>Scans of the training were scored.</strong></li>" in text


def test_what_is_unknown_is_a_dash(write):
    page = Page(write(metrics_of_scans()))
    row = page.text[page.text.index("1.5 and more") :].split()[3:9]
    assert row == ["\N{EN DASH}", "0", "0", "\N{EN DASH}", "0", "0"]
    assert not re.search(r"\b(nan|None|undefined|inf)\b", page.text.replace("none", ""), re.IGNORECASE)


def test_the_crops_show_the_scan_and_the_classes_in_their_colours(write):
    text = write(metrics_of_scans(), crops_of(2))
    found = [attributes["href"].partition(",")[2] for attributes in Page(text).attributes("image")]
    scan, truth, predicted, *_ = (
        cv2.imdecode(np.frombuffer(base64.b64decode(each), np.uint8), cv2.IMREAD_UNCHANGED) for each in found
    )
    assert len(found) == 6
    assert (scan[1, 2], scan[0, 0]) == (77, 240)
    assert truth[1, 2].tolist() == [*color_of(2)[::-1], 255]
    assert predicted[1, 2].tolist() == [*color_of(1)[::-1], 255]
    assert truth[0, 0, 3] == predicted[0, 0, 3] == 0
    assert f'<i style="background: rgb({" ".join(map(str, color_of(2)))})"></i>Fish' in text
    # Both maps lie upon the scan of their own error.
    assert [each["href"] for each in Page(text).attributes("use")] == ["#crop-1", "#crop-1", "#crop-2", "#crop-2"]


def test_crops_must_be_as_many_as_the_errors(write):
    with pytest.raises(ValueError, match="shorter"):
        write(metrics_of_scans(), crops_of(1))


def test_a_scan_leads_to_its_first_error_and_says_why_it_is_unlike(write):
    text = write(metrics_of_scans())
    assert '<th scope="row"><span><a href="#error-1">two</a></span></th>' in text
    assert '<th scope="row"><span>one</span></th>' in text
    assert '<td class="text"><span>yes, darker ground</span></td>' in text
    assert "<strong>Unlike the training scans:</strong> one." in text
    assert "1 of 2 scans is unlike the training scans." in text


@pytest.mark.parametrize(
    ("low", "high", "scans", "verdict"),
    [
        (0.01, 0.02, 5, "better"),
        (-0.02, -0.01, 5, "worse"),
        (-0.01, 0.01, 5, "not sure"),
        (None, None, 5, "unknown"),
        # Of two scans both are better by chance in one of four cases.
        (0.01, 0.02, 4, "not sure, of so few scans"),
    ],
)
def test_a_gain_is_said_in_words(write, low, high, scans, verdict):
    text = Page(write(metrics_of_scans() | {"gain": {"f1": 0.0, "low": low, "high": high, "scans": scans}})).text
    assert f"over {scans} scans: {verdict}." in text


def test_one_is_not_a_plural(write):
    metrics = metrics_of_scans()
    metrics |= {"scans": metrics["scans"][:1], "gain": {"f1": 0.1, "low": None, "high": None, "scans": 1}}
    metrics["intervals"]["scans"] = 1
    text = Page(write(metrics)).text
    assert "F1 +0.1000 over the plain threshold, over 1 scan: unknown." in text
    assert "(1 scan)" in text
    assert "1 of 1 scan is unlike" in text
    assert "1 scans" not in text


def test_curves_are_drawn_where_both_coordinates_are_known(write):
    lines = [attributes["points"] for attributes in Page(write(metrics_of_scans())).attributes("polyline")]
    assert lines == ["1,0.3 0.7,0.6 ", "0,0.4 0.5,0.65 1,0 ", "0.2011,0.2022 "]


def test_marks_are_the_reported_threshold_and_scores(write):
    marks = [each for each in Page(write(metrics_of_scans())).attributes("circle") if each.get("class") == "mark"]
    assert [(each["cx"], each["cy"]) for each in marks] == [("0.5222", "0.5111"), ("0.4375", "0.5333")]


def test_the_confusion_matrix_is_in_the_order_of_support_with_shares_of_rows(write):
    text = Page(write(metrics_of_scans())).text
    # Fish has 4,321 pixels, ground 60, Copepoda none: rows Fish, ground, Copepoda.
    words = text[text.index("larger share of the row") :].split("\n")
    cells = [word.removesuffix("\N{NO-BREAK SPACE}%") for word in words if word][1:17]
    assert cells[:4] == ["true", "Fish", "ground", "Copepoda"]
    assert cells[4:11] == ["Fish", "3,000", "69.4", "1,000", "23.1", "321", "7.4"]
    assert cells[11:] == ["ground", "3", "5.0", "51", "85.0"]
    assert "The largest confusions" not in text


def test_many_classes_are_a_drawing_and_the_largest_confusions(write):
    text = write(metrics_of_vignettes(20))
    assert 'class="matrix"' not in text
    # Class 19 has most support, and all of it is right: the first cell is the darkest.
    assert 'aria-label="Confusion matrix of 20 classes as shades"' in text
    assert '<path opacity="1.0" d="M0 0h1v1h-1z' in text
    words = Page(text).text
    assert re.search(
        r"The largest confusions\s+true\s+taken for\s+vignettes\s+share of the true\s+class 0\s+class 1\s+7\s", words
    )


def test_pixels_of_many_classes_have_no_drawing(write):
    metrics = metrics_of_vignettes(20) | {"pixel": SCORES}
    metrics.pop("vignettes")
    text = write(metrics)
    assert "as shades" not in text
    assert "The largest confusions" in text


def test_the_card_says_what_is_unknown(write):
    text = Page(write(metrics_of_scans())).text
    assert "Nothing true was there of Copepoda: how well they are found is unknown." in text
    assert "bootstrap over scans (2 scans). Two scans say little." in text
    assert "animals that touch count as one" in text
    assert "No interval was computed" in Page(write(metrics_of_vignettes())).text
