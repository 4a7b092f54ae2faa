"""naming: taxa by a fake classifier, in tables, packages and abundance."""

import csv
from functools import partial

import numpy as np
import pytest
from test_masked_scans import TAXA, draw
from test_measure import predictions, run, table  # noqa: F401

from plankton_keras.ecotaxa.lint import lint
from plankton_keras.masked_scans import find_masked
from plankton_keras.naming import name_objects
from plankton_keras.predictors import Classifier
from plankton_keras.tabulating import Context, measure_predictions, read_predictions

CLASSES = ("Calanoida", "Chaetognatha", "detritus")


def classifier(classify, **changed):
    fields = {"classes": CLASSES, "living": dict(zip(CLASSES, (True, True, False), strict=True)), "living_share": 0.5}
    return Classifier(classify, size=32, digest="d", source="runs/taxa", **{**fields, **changed})


def by_shape(images, sides):
    """Long objects are Chaetognatha, of which it is sure; squares are Calanoida or detritus, nearly alike."""
    inside = (images[..., 0] < 200).mean(axis=(1, 2))
    return np.where((inside < 0.3)[:, None], [[0.05, 0.9, 0.05]], [[0.5, 0.1, 0.4]]).astype(np.float32)


def square_and_worm():
    square, worm = np.full((46, 46), 255, np.uint8), np.full((16, 106), 255, np.uint8)
    square[3:-3, 3:-3] = worm[3:-3, 3:-3] = 100
    return [square, worm]


def test_objects_are_shown_squared_with_their_longer_side():
    seen = []

    def watch(images, sides):
        seen.append((images.shape, images.dtype, sides.tolist()))
        return by_shape(images, sides)

    name_objects(classifier(watch), square_and_worm())
    assert seen == [((2, 32, 32, 1), np.uint8, [[46], [106]])]


def test_the_likeliest_class_is_taken_and_the_three_best_are_told():
    named = name_objects(classifier(by_shape), square_and_worm())
    assert [named.names[index] for index in named.taxa] == ["Calanoida", "Chaetognatha"]
    assert named.living == (True, True, False, True)
    assert named.columns(0) == {
        "taxon_1": "Calanoida",
        "probability_1": pytest.approx(0.5),
        "taxon_2": "detritus",
        "probability_2": pytest.approx(0.4),
        "taxon_3": "Chaetognatha",
        "probability_3": pytest.approx(0.1),
    }


def test_what_is_not_sure_enough_is_unclassified():
    named = name_objects(classifier(by_shape), square_and_worm(), confidence=0.6)
    assert [named.names[index] for index in named.taxa] == ["unclassified", "Chaetognatha"]
    assert named.chances.sum(axis=1) == pytest.approx([1, 1])


def test_without_a_word_on_what_lives_all_classes_do():
    assert name_objects(classifier(by_shape, living=None), square_and_worm()).living == (True,) * 4


def test_taxa_go_into_tables_packages_and_abundance(predictions, tmp_path):  # noqa: F811
    content, out = read_predictions(predictions), tmp_path / "m"
    out.mkdir()

    def naming(vignettes):
        return name_objects(classifier(by_shape), vignettes, confidence=0.6)

    context = Context.of(content, tmp_path / "samples.csv", dpi=2400, naming=naming)
    measure_predictions(predictions, content, context, out)
    with open(out / "objects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["taxon"] for row in rows] == ["unclassified", "unclassified", "Chaetognatha", "unclassified"]
    assert [row["taxon_2"] for row in rows[:1]] == ["detritus"]
    assert [problem for path in out.glob("*.zip") for problem in lint(path)] == []
    with open(out / "abundance.csv", newline="") as file:
        found = {(row["taxon"], row["unit"]): row for row in csv.DictReader(file)}
    # One worm of a scan with sub_part 4; as detritus nobody is named.
    assert float(found["Chaetognatha", "ind/m3"]["value"]) == pytest.approx(4 / 203.5)
    assert found["detritus", "ind/m3"]["living"] == "False"
    # By the probabilities: 0.9 of the worm, and a tenth of each square, of which two stand for 4 and one for 8.
    assert float(found["Chaetognatha", "ind/m3"]["expected"]) == pytest.approx((0.9 * 4 + 0.1 * 16) / 203.5)


def test_a_scan_without_objects_has_rows_of_zeros_of_every_class(predictions, tmp_path):  # noqa: F811
    content, out = read_predictions(predictions), tmp_path / "m"
    for stem in ("rg1", "rg2"):
        (predictions / f"{stem}_objects.csv").write_text("label,class,score,x_px,y_px,width_px,height_px,area_px\n")
    out.mkdir()
    naming = partial(name_objects, classifier(by_shape))
    context = Context.of(content, tmp_path / "samples.csv", naming=naming, confusion=np.eye(3, dtype=int))
    measure_predictions(predictions, content, context, out)
    rows = table(out / "abundance.csv")
    assert {row["taxon"] for row in rows} == {*CLASSES, "unclassified", "all living"}
    assert {float(row[name]) for row in rows for name in ("value", "expected")} == {0}


# Of five Chaetognatha one is called Calanoida; of detritus validation has none.
CONFUSION = np.array([[30, 0, 0], [10, 40, 0], [0, 0, 0]])


@pytest.mark.parametrize("confidence", [0, 0.6])
def test_abundance_is_adjusted_for_what_the_classifier_confuses(predictions, tmp_path, monkeypatch, confidence):  # noqa: F811
    known = classifier(by_shape, confusion=CONFUSION)
    monkeypatch.setattr("plankton_keras.inference.load_classifier", lambda path: known)
    words = ("measure", predictions, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--classifier", "runs/taxa")
    words = (*words, "--confidence", confidence, "--quiet", "--overwrite", "--out", tmp_path / "m")
    plain = run(*words).stdout
    (tmp_path / "m" / "abundance.csv").rename(tmp_path / "plain.csv")
    said = run(*words, "--adjust").stdout
    notes = (
        "Adjusted for confusion as of 80 vignettes of validation, beside the raw numbers.\n"
        "Of detritus there was none: taken as never confused.\n"
    )
    assert said.replace(notes, "") == plain != said
    # Squares are called Calanoida and stand for 4, 4 and 8, the worm is called Chaetognatha and stands for 4, sure
    # enough or not. Five Chaetognatha would be called so, four rightly and one Calanoida.
    rows = {(row["taxon"], row["unit"]): row for row in table(tmp_path / "m" / "abundance.csv")}
    for taxon, animals in {"Calanoida": 15, "Chaetognatha": 5, "detritus": 0, "all living": 20}.items():
        row = rows[taxon, "ind/m3"]
        assert float(row["adjusted"]) == pytest.approx(animals / 203.5)
        assert float(row["adjusted_low"]) <= animals / 203.5 <= float(row["adjusted_high"])
        assert float(rows[taxon, "ind/m2"]["adjusted"]) == pytest.approx(107 * animals / 203.5)
        assert rows[taxon, "mm3/m3"]["adjusted"] == ""
    assert rows["unclassified", "ind/m3"]["adjusted"] == rows["unclassified", "ind/m3"]["adjusted_high"] == ""
    # What is not adjusted stays as it was.
    blank = dict.fromkeys(("adjusted", "adjusted_low", "adjusted_high"), "")
    assert [row | blank for row in table(tmp_path / "m" / "abundance.csv")] == table(tmp_path / "plain.csv")
    page = (tmp_path / "m" / "report_s.html").read_text()
    assert "ind/m³ adjusted for confusion" in page
    assert f"<td>{5 / 203.5:#.4g}</td>" in page


def test_counts_are_adjusted_only_by_what_validation_tells(predictions, tmp_path, monkeypatch):  # noqa: F811
    words = ("measure", predictions, "--out", tmp_path / "m", "--adjust", "--quiet")
    said = run(*words, code=2).stderr
    assert said.endswith("Error: --adjust needs --classifier: its validation tells which classes are confused.\n")
    monkeypatch.setattr("plankton_keras.inference.load_classifier", lambda path: classifier(by_shape))
    said = run(*words, "--classifier", "runs/taxa", code=4).stderr
    assert said == (
        "runs/taxa does not say which classes it confuses: its run is older than --adjust.\n"
        "Expected: a run of vignettes whose thresholds.json has a confusion, or its export.\n"
        "Fix: plankton train RECORDS --out RUN --config RUN/config.json --resume adds it, without training anew; "
        "then export again.\n"
    )
    assert not (tmp_path / "m").exists()


def test_touching_taxa_of_masks_are_not_said_to_count_as_one_of_them_where_a_classifier_names_objects(tmp_path):
    draw(tmp_path / "scans", TAXA, i40=(50, 50, 40), i3=(40, 90, 60))
    find_masked(tmp_path / "scans").write(tmp_path / "p")
    content = read_predictions(tmp_path / "p")
    context = Context.of(content, naming=partial(name_objects, classifier(by_shape)))
    (tmp_path / "m").mkdir()
    said = measure_predictions(tmp_path / "p", content, context, tmp_path / "m")
    (note,) = [each for each in said["notes"] if "touch" in each]
    assert note == (
        "1 object of the masks is of several taxa that touch, and counts once: a_1. Leave a pixel of ground between "
        "them."
    )
