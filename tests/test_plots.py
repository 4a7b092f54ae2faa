"""Plots: the files appear whole, and the same rows give the same bytes."""

from xml.etree import ElementTree

import cv2
import pytest

from plankton_keras.plots import MOST_TAXA, plot_abundance, plot_spectrum


def spectrum(counts=(3, 9, 6, 0, 4)):
    for place, count in enumerate(counts):
        row = {"volume_low_mm3": 2.0**place, "volume_high_mm3": 2.0 ** (place + 1), "objects": count}
        yield row | {"nbss": count / 2.0**place, "low": 0.0, "high": (count + 4) / 2.0**place, "used": count >= 4}


MINUS = "\N{MINUS SIGN}"
FIT = {"method": "least squares", "slope": -1.0, "low": -1.2, "high": -0.8, "intercept": 0.5}
SECOND = {**FIT, "method": "maximum likelihood", "slope": -9.0}


def abundance(names=("Copepoda", "Salpida"), expected=None, adjusted=None, most=60.0):
    for taxon in (*names, "all living"):
        row = {"taxon": taxon, "unit": "ind/m3", "objects": 4, "value": 2.5, "low": 0.0, "high": 5.0}
        row |= {"expected": expected, "adjusted": adjusted, "adjusted_low": 0.0, "adjusted_high": most}
        yield row
        yield row | {"unit": "ind/m2", "value": 250.0}
    yield {"taxon": "absent", "unit": "ind/m3", "objects": 0, "value": 0.0, "low": 0.0, "high": 1.0, "expected": None}


PLOTS = {
    "spectrum": lambda stem: plot_spectrum(stem, list(spectrum()), [FIT, SECOND], "s: size spectrum"),
    "no fit": lambda stem: plot_spectrum(stem, list(spectrum((1, 0, 2))), [{**FIT, "slope": None}], "s"),
    "abundance": lambda stem: plot_abundance(stem, list(abundance()), "s: abundance"),
    "probabilities": lambda stem: plot_abundance(stem, list(abundance(expected=2.0)), "s: abundance"),
    "adjusted": lambda stem: plot_abundance(stem, list(abundance(expected=2.0, adjusted=1.5)), "s: abundance"),
    "to nothing": lambda stem: plot_abundance(stem, list(abundance(adjusted=0.0)), "s: abundance"),
    "surely to nothing": lambda stem: plot_abundance(stem, list(abundance(adjusted=0.0, most=0.0)), "s: abundance"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_files_appear_whole_and_the_same_input_gives_the_same_bytes(tmp_path, name):
    found = []
    for folder in ("one", "two"):
        paths = PLOTS[name](tmp_path / folder / "a.b_plot")
        assert [path.name for path in paths] == ["a.b_plot.png", "a.b_plot.svg"]
        assert sorted((tmp_path / folder).iterdir()) == paths
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1]
    picture = cv2.imread(str(paths[0]))
    assert min(picture.shape[:2]) > 200
    assert len(set(picture.reshape(-1, 3)[:, 0].tolist())) > 5
    root = ElementTree.parse(paths[1]).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def texts(path):
    """The words of an SVG: Matplotlib leaves them as comments beside their outlines."""
    return path.read_text(encoding="utf-8")


def test_the_spectrum_names_its_axes_units_and_the_slope_of_least_squares(tmp_path):
    words = texts(PLOTS["spectrum"](tmp_path / "a")[1])
    for text in ("volume of an animal (mm³)", "equivalent spherical diameter (mm)", "slope ~1.00 (~1.20 to ~0.80)"):
        assert f"<!-- {text} -->".replace("~", MINUS) in words
    assert "left out of the fit" in words
    assert f"{MINUS}9" not in words
    assert "slope" not in texts(PLOTS["no fit"](tmp_path / "b")[1])


def test_taxa_that_were_found_are_named_with_their_objects(tmp_path):
    words = texts(PLOTS["abundance"](tmp_path / "a")[1])
    assert "<!-- Copepoda (4) -->" in words
    assert "<!-- all living (4) -->" in words
    assert "absent" not in words
    assert "by probabilities" not in words
    assert "by probabilities" in texts(PLOTS["probabilities"](tmp_path / "b")[1])


@pytest.mark.parametrize(("name", "both"), [("adjusted", True), ("to nothing", False)])
def test_adjusted_numbers_stand_below_with_their_intervals(tmp_path, name, both):
    plain, words = texts(PLOTS["abundance"](tmp_path / "a")[1]), texts(PLOTS[name](tmp_path / "b")[1])
    assert "adjusted for confusion" not in plain
    assert "<!-- adjusted for confusion -->" in words
    assert ("by probabilities" in words) == both
    # Up to 60, which the raw ones do not reach.
    assert ("{10^{2}}" in plain, "{10^{2}}" in words) == (False, True)


def test_of_too_many_taxa_the_rarer_ones_are_counted(tmp_path):
    names = [f"taxon {number}" for number in range(MOST_TAXA + 2)]
    paths = plot_abundance(tmp_path / "a", list(abundance(names)), "s")
    assert "<!-- 2 rarer taxa are not shown -->" in texts(paths[1])


def test_names_are_no_formulas_and_long_ones_are_cut(tmp_path):
    words = texts(plot_abundance(tmp_path / "a", list(abundance(("a$b^c$", "x" * 80))), "$s$ of $2")[1])
    assert "<!-- a$b^c$ (4) -->" in words
    assert f"<!-- {'x' * 39}… (4) -->" in words


def test_without_an_object_there_is_no_plot(tmp_path):
    assert plot_spectrum(tmp_path / "a", [], [], "s") == []
    assert plot_abundance(tmp_path / "a", list(abundance())[-1:], "s") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a-->b<script>&\"'", "bell\a\0", "\x1b[31mred", "\udce9t\udce9", "\ufffe", "a\tb\nc"])
def test_whatever_a_name_has_the_svg_stays_well_formed(tmp_path, name):
    path = plot_abundance(tmp_path / "a", list(abundance((name, "B"))), name)[1]
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in texts(path)
