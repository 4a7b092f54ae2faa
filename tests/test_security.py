"""What files of strangers could do to the disk and to a spreadsheet; models are in test_allowed.py, pages in theirs."""

import ast
import contextlib
import csv
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_packages import cells_of, drawn_package, drawn_parents, files_of, table_of, write_files

from plankton_keras.ecotaxa import tables
from plankton_keras.ecotaxa.labels import find_labelled
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.ecotaxa.package import PackageObject, write_packages
from plankton_keras.errors import InputError
from plankton_keras.measuring import measure_scan, read_objects
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import ScanPrediction, write_prediction
from plankton_keras.scans import ArrayScan
from plankton_keras.serve.claims import read_claim
from plankton_keras.taxa import Taxon, file_target, read_taxa
from plankton_keras.vignette_pictures import vignette
from plankton_keras.vignettes import read_vignette

PACKAGE = Path(__file__).resolve().parents[1] / "plankton_keras"
CLASSES = ("non-living", "=HYPERLINK(A1)", "-5", "@SUM(1)")


def test_nothing_is_ever_unpacked_onto_the_disk():
    called = {
        node.func.attr
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "namelist" in called
    assert called & {"extract", "extractall", "unpack_archive"} == set()


@pytest.mark.parametrize("escape", ["../../escaped.png", "/tmp/escaped.png", "..\\escaped.png", "C:\\escaped.png"])
def test_a_package_whose_members_leave_it_writes_nothing(tmp_path, escape):
    (path,) = drawn_package(tmp_path / "package", scans=1)
    files = files_of(path)
    (table,) = (name for name in files if name.endswith(".tsv"))
    cells = cells_of(files[table])
    picture = cells[0].index("img_file_name"), 2
    known = cells[picture[1]][picture[0]]
    cells[picture[1]][picture[0]] = escape
    status = cells[0].index("object_annotation_status")
    for row in cells[2:]:
        row[status] = "validated"
    hostile = {(escape if name == known else name): content for name, content in files.items()}
    hostile[table] = table_of(cells)
    before = sorted(tmp_path.rglob("*"))
    package = write_files(tmp_path / "hostile.zip", hostile)
    lint(package)
    # Whatever a member is called, it is read from the package alone, or not at all.
    with contextlib.suppress(InputError):
        for each in find_labelled(package, 0.5):
            assert read_vignette(each.path).ndim == 2
            assert isinstance(each.path, zipfile.Path)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, package])
    assert not list(Path("/tmp").glob("escaped*"))


def test_a_picture_that_unpacks_to_more_than_a_picture_has_is_not_read(tmp_path, monkeypatch):
    """A .zip of a few kilobytes can unpack to gigabytes."""
    (path,) = drawn_package(tmp_path / "package", scans=1)
    (table,) = (name for name in files_of(path) if name.endswith(".tsv"))
    picture = next(name for name in files_of(path) if name.endswith(".png"))
    size = len(files_of(path)[picture])
    monkeypatch.setattr(tables, "MOST_BYTES", size - 1)
    with pytest.raises(InputError) as caught:
        tables.Package(path).at(picture)
    assert str(caught.value) == (
        f"{path}: {picture} unpacks to {size} bytes.\nExpected: at most {size - 1}.\nFix: remove it from the package."
    )
    # Tables are read row by row, whatever their size.
    monkeypatch.setattr(tables, "MOST_BYTES", 1)
    assert len(list(tables.Package(path).rows(table))) == 6


TEMPLATES = sorted((PACKAGE / "templates").glob("*.j2"))
SCRIPTS = sorted((PACKAGE / "serve" / "page").glob("*.js"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_lets_a_text_through_unescaped(path):
    assert not re.search(r"\|\s*safe|autoescape false|Markup", path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_of_the_page_parses_a_text_as_html(path):
    parsed = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\(|new Function|createContextualFragment"
    )
    assert not re.search(parsed, path.read_text())


def test_every_page_is_escaped():
    made = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("Environment", "Template")
    ]
    assert len(made) == 2
    for node in made:
        assert {word.arg: getattr(word.value, "value", None) for word in node.keywords}["autoescape"] is True


def test_a_zip_that_is_uploaded_is_no_scan(tmp_path):
    path = write_files(tmp_path / "scan.png", {"../../escaped.png": b"1"})
    with pytest.raises(InputError):
        read_claim(path)


@pytest.fixture
def predicted(tmp_path):
    """A scan with an object of each of three classes, whose names are formulas or look so."""
    classes = np.zeros((60, 200), np.uint8)
    for index in (1, 2, 3):
        classes[20:40, 60 * index - 40 : 60 * index - 20] = index
    labeler = BandLabeler(4)
    labeler.add(label_band(classes, num_classes=4)[0])
    objects, _ = labeler.finish()
    scan = ArrayScan("=cmd", np.where(classes > 0, 90, 220).astype(np.uint8))
    write_prediction(tmp_path, scan, ScanPrediction(classes, np.zeros_like(classes), objects, 0.0), CLASSES)
    return tmp_path, scan


def test_names_come_back_from_the_tables_of_a_scan(predicted):
    folder, scan = predicted
    with open(folder / "=cmd_objects.csv", newline="") as file:
        written = [row["class"] for row in csv.DictReader(file)]
    assert written == ["'=HYPERLINK(A1)", "-5", "'@SUM(1)"]
    assert [row["class"] for row in read_objects(folder, "=cmd")] == list(CLASSES[1:])
    assert [each.taxon for each in measure_scan(folder, scan)] == list(CLASSES[1:])


def test_names_come_back_from_taxa_whose_formulas_are_guarded(tmp_path):
    path = tmp_path / "taxa.csv"
    path.write_text("id,name,living\n0,ground,0\n1,'=1+2,1\n2,'quoted',1\n3,-5,1\n")
    assert read_taxa(path)[1:] == [Taxon(1, "=1+2", True), Taxon(2, "'quoted'", True), Taxon(3, "-5", True)]
    path.write_text("id,class\n0,ground\n1,'=1+2\n")
    assert file_target(path).names == ("ground", "=1+2")


def test_tables_for_ecotaxa_keep_ids_and_categories_letter_by_letter(tmp_path):
    picture = vignette(np.full((9, 9), 90, np.uint8), np.ones((9, 9), bool), None)
    known = {"sample": "Station É 1", "acquisition": "d1_1", "process": "plankton_keras_1"}
    each = PackageObject(name="=cmd_1", picture=picture, category="@odd", score=0.5, fields={"kurt": -1.5}, **known)
    (path,) = write_packages(tmp_path, "rg", [each], drawn_parents())
    head, _, row = cells_of(next(content for name, content in files_of(path).items() if name.endswith(".tsv")))
    found = dict(zip(head, row, strict=True))
    assert (found["object_id"], found["object_annotation_category"], found["object_kurt"]) == ("=cmd_1", "@odd", "-1.5")


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a\\..\\evil", "..", "=cmd|'/C calc'!A0"])
def test_pictures_of_a_package_stay_in_their_folder(tmp_path, name):
    picture = vignette(np.full((9, 9), 90, np.uint8), np.ones((9, 9), bool), None)
    known = {"sample": "Station É 1", "acquisition": "d1_1", "process": "plankton_keras_1"}
    (path,) = write_packages(tmp_path, "rg", [PackageObject(name=name, picture=picture, **known)], drawn_parents())
    (member,) = (each for each in files_of(path) if each.endswith(".png"))
    folder, file = member.split("/")
    assert folder == "rg_0001"
    assert set(file) & set("\\/:|'=! ") == set()
    assert cv2.imdecode(np.frombuffer(files_of(path)[member], np.uint8), 0) is not None
