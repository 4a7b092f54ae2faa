"""ecotaxa.package: what is written is read by a reader that knows the rules of EcoTaxa only."""

import csv
import io
import itertools
import math
import posixpath
import re
import zipfile

import numpy as np
import pytest
from drawn_packages import cells_of, crop_of, drawn_object, drawn_package, drawn_parents, files_of
from PIL import Image

from plankton_keras.ecotaxa.cells import Columns, is_missing
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.ecotaxa.package import Limits, file_name, write_packages
from plankton_keras.ecotaxa.rules import HEADER
from plankton_keras.errors import InputError
from plankton_keras.vignette_pictures import vignette


def import_package(paths):
    """Imports packages by the rules of the reference alone; gives rows by (object, image), or fails."""
    rows, samples, parents, tables, free = {}, {}, {}, 0, set()
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            for name in archive.namelist():
                if not re.fullmatch(r"ecotaxa.*\.(txt|tsv)", posixpath.basename(name)):
                    continue
                tables += 1
                raw = archive.read(name)
                text = raw.decode("utf-8-sig" if raw.startswith(b"\xef\xbb\xbf") else "latin-1")
                reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quotechar='"')
                header, types = next(reader), next(reader)
                assert header == [column.lower() for column in header]
                assert len(set(header)) == len(header) == len(types)
                assert set(types) <= {"[t]", "[f]"}
                assert {column.split("_")[0] for column in header} <= {"img", "object", "acq", "process", "sample"}
                for prefix in ("object", "acq", "process", "sample"):
                    assert f"{prefix}_id" in header
                assert "img_file_name" in header
                free |= set(zip(header, types, strict=True))
                for cells in reader:
                    row = dict(zip(header, cells, strict=True))
                    check_row(row, dict(zip(header, types, strict=True)))
                    picture = posixpath.join(posixpath.dirname(name), row["img_file_name"])
                    with Image.open(io.BytesIO(archive.read(picture))) as image:
                        image.load()
                        assert image.format in ("PNG", "JPEG", "GIF")
                        assert image.mode in ("L", "RGB")
                        assert max(image.size) <= 20000
                    assert (row["object_id"], row["img_file_name"]) not in rows
                    rows[row["object_id"], row["img_file_name"]] = row
                    assert samples.setdefault(row["acq_id"], row["sample_id"]) == row["sample_id"]
                    for prefix in ("acq", "process", "sample"):
                        own = {column: row[column] for column in row if column.startswith(f"{prefix}_")}
                        assert parents.setdefault((prefix, row[f"{prefix}_id"]), own) == own
    assert 0 < tables <= 2000
    assert len({column for column, kind in free if column.startswith("object_") and kind == "[f]"}) <= 500
    placed = {f"object_{name}" for name in ("id", "link", "date", "time")}
    texts = {column for column, kind in free if column.startswith("object_") and kind == "[t]"} - placed
    assert len({column for column in texts if not column.startswith("object_annotation_")}) <= 20
    assert len({column for column, _ in free if column.startswith("sample_")}) <= 60
    assert len({column for column, _ in free if column.startswith("acq_")}) <= 30
    assert len({column for column, _ in free if column.startswith("process_")}) <= 30
    return rows


def check_row(row, types):
    for column, value in row.items():
        assert len(value) <= 250
        if types[column] == "[f]" and value.lower() not in ("", "nan", "na"):
            assert math.isfinite(float(value))
    status, category = row.get("object_annotation_status", ""), row.get("object_annotation_category", "")
    assert status in ("", "predicted", "dubious", "validated", "discarded")
    assert bool(status) == bool(category)
    assert -90 <= float(row["object_lat"]) <= 90
    assert -180 <= float(row["object_lon"]) <= 180
    assert re.fullmatch(r"\d{8}|\d{4}-\d\d-\d\d", row["object_date"])
    assert re.fullmatch(r"\d{4}|\d{6}|\d\d:\d\d:\d\d(\.\d+)?", row["object_time"])
    assert float(row["object_depth_min"]) <= float(row["object_depth_max"])
    assert float(row["img_rank"]) in range(10)


def test_a_reader_of_the_rules_alone_takes_the_package_of_four_scans(tmp_path):
    rows = import_package(drawn_package(tmp_path))
    assert len(rows) == 16
    row = rows["scan3_1", "drawn_0001/scan3_1.png"]
    expected = {
        "object_lat": "43.7",
        "object_area": str(int((crop_of(1, 3) < 255).sum())),
        "object_score": "0.75",
        "object_second": "Oithona",
        "object_annotation_category": "part<Crustacea",
        "object_annotation_status": "predicted",
        "acq_id": "d2_2",
        "acq_sub_part": "8",
        "sample_id": "Station É 2",
        "sample_tot_vol": "203.5",
        "process_id": "plankton_keras_3",
        "process_model_sha256": "ab" * 32,
    }
    assert {name: row[name] for name in expected} == expected
    # What is nowhere known has no column.
    assert not {"object_kurt", "sample_bottomdepth"} & set(row)


def test_the_linter_finds_nothing_in_what_is_written(tmp_path):
    assert [str(problem) for path in drawn_package(tmp_path) for problem in lint(path)] == []


def test_columns_stand_in_the_order_of_zooprocess_then_by_name(tmp_path):
    (path,) = drawn_package(tmp_path)
    header = cells_of(files_of(path)["ecotaxa_drawn_0001.tsv"])[0]
    known = [name for name in header if name in HEADER]
    assert known == [name for name in HEADER if name in header]
    assert [name for name in header if name not in HEADER] == [
        "object_score",
        "object_second",
        "object_annotation_category",
        "object_annotation_status",
        "process_model_sha256",
        "process_threshold",
    ]
    prefixes = [prefix for prefix, _ in itertools.groupby(name.split("_")[0] for name in header)]
    assert prefixes == ["img", "object", "process", "acq", "sample"]


def test_a_full_zooscan_header_has_154_columns_and_their_types():
    row = {name: 1 if kind == "[f]" else "a" for name, kind in HEADER.items()}
    header, types, cells = Columns().table([row])
    assert (len(header), header, types) == (154, list(HEADER), list(HEADER.values()))
    assert set(cells) == {"1", "a"}


def test_the_same_objects_give_the_same_bytes(tmp_path):
    (first,), (second,) = drawn_package(tmp_path / "a"), drawn_package(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_ascii_has_no_byte_order_mark_and_other_letters_have_one(tmp_path):
    parents = drawn_parents()
    parents["sample"]["plain"] = {}
    each = drawn_object(0)
    plain = drawn_object(0).__class__(**{**vars(each), "sample": "plain"})
    (path,) = write_packages(tmp_path, "plain", [plain], parents)
    assert files_of(path)["ecotaxa_plain_0001.tsv"].isascii()
    (path,) = write_packages(tmp_path, "Été", [each], parents)
    assert path.name == "ecotaxa_Ete.zip"
    assert files_of(path)["ecotaxa_Ete_0001.tsv"].startswith(b"\xef\xbb\xbfimg_file_name")


def test_tables_and_files_are_split_and_counted_through(tmp_path):
    paths = drawn_package(tmp_path, count=5, scans=2, limits=Limits(rows=2, tables=2))
    assert [path.name for path in paths] == ["ecotaxa_drawn.zip", "ecotaxa_drawn_2.zip", "ecotaxa_drawn_3.zip"]
    tables = [[name for name in files_of(path) if name.endswith(".tsv")] for path in paths]
    assert tables == [
        ["ecotaxa_drawn_0001.tsv", "ecotaxa_drawn_0002.tsv"],
        ["ecotaxa_drawn_0003.tsv", "ecotaxa_drawn_0004.tsv"],
        ["ecotaxa_drawn_0005.tsv"],
    ]
    assert len(import_package(paths)) == 10
    assert [str(problem) for path in paths for problem in lint(path)] == []


def test_a_file_stays_below_the_bytes_that_it_may_have(tmp_path):
    paths = drawn_package(tmp_path, count=8, limits=Limits(bytes=8000))
    assert len(paths) > 2
    # The directory of a .zip, some 100 bytes a file, comes on top.
    assert all(path.stat().st_size < 8000 + 100 * len(files_of(path)) for path in paths)
    assert len(import_package(paths)) == 32


def test_the_second_file_of_a_scan_never_has_the_name_of_another_scan(tmp_path):
    taken, found = set(), []
    for stem in ("a_2", "a", "A", "a_3"):
        found += drawn_package(tmp_path, count=2, scans=1, stem=stem, limits=Limits(rows=1, tables=1), taken=taken)
    names = [path.name for path in found]
    assert names[:4] == ["ecotaxa_a_2.zip", "ecotaxa_a_2_2.zip", "ecotaxa_a.zip", "ecotaxa_a_3.zip"]
    assert len(set(map(str.lower, names))) == len(names) == len(list(tmp_path.iterdir())) == 8
    assert len(import_package(found[:2])) == 2


def test_no_object_gives_no_file(tmp_path):
    assert write_packages(tmp_path, "none", [], drawn_parents()) == []
    assert list(tmp_path.iterdir()) == []


def test_after_an_error_no_file_is_there(tmp_path):
    def broken():
        yield drawn_object(0)
        yield drawn_object(1)
        raise ValueError("the scan is cut off")

    with pytest.raises(ValueError, match="cut off"):
        write_packages(tmp_path, "broken", broken(), drawn_parents(), Limits(rows=1, tables=1))
    assert list(tmp_path.iterdir()) == []


def test_names_that_files_cannot_have_are_replaced_and_stay_apart(tmp_path):
    assert [file_name(text) for text in ("a b/ü", "..", "été", "€")] == ["a_b_u", "..", "ete", "_"]
    objects = [drawn_object(0).__class__(**{**vars(drawn_object(0)), "name": name}) for name in ("ä", "A", "a")]
    (path,) = write_packages(tmp_path, "s", objects, drawn_parents())
    assert [name for name in files_of(path) if name.endswith(".png")] == [
        "s_0001/a.png",
        "s_0001/A_2.png",
        "s_0001/a_3.png",
    ]
    assert {name for name, _ in import_package([path])} == {"ä", "A", "a"}


def test_quotes_tabs_and_lines_come_through(tmp_path):
    said = 'a "quoted"\tpart\nand a line'
    (path,) = write_packages(tmp_path, "s", [drawn_object(0, note=said)], drawn_parents())
    assert [row["object_note"] for row in import_package([path]).values()] == [said]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2, "2"), (np.int64(3), "3"), (np.float32(0.1), "0.1"), (1e-7, "1e-07"), (True, "1"), (np.bool_(False), "0")],
)
def test_numbers_are_written_as_short_as_they_can_be_read_back(value, text):
    assert Columns().table([{"object_id": "a", "object_new": value}]) == [
        ["object_id", "object_new"],
        ["[t]", "[f]"],
        ["a", text],
    ]


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), "", "NaN", " na "])
def test_what_is_missing_is_empty(value):
    rows = [{"object_id": "a", "object_area": value}, {"object_id": "b", "object_area": 1}]
    assert is_missing(value)
    assert Columns().table(rows)[2] == ["a", ""]


def test_without_a_category_there_is_no_status(tmp_path):
    each = drawn_object(0)
    free = each.__class__(**{**vars(each), "category": None, "score": None})
    (path,) = write_packages(tmp_path, "s", [free], drawn_parents())
    (row,) = import_package([path]).values()
    assert not [name for name in row if name.startswith("object_annotation") or name == "object_score"]


def test_long_texts_are_cut_where_the_caller_says_so_and_refused_elsewhere(tmp_path):
    each = drawn_object(0, contour="x" * 300)
    (path,) = write_packages(tmp_path, "s", [each], drawn_parents(), shorten=["object_contour"])
    assert [row["object_contour"] for row in import_package([path]).values()] == ["x" * 250]
    with pytest.raises(InputError) as caught:
        write_packages(tmp_path / "new", "s", [each], drawn_parents())
    assert str(caught.value) == (
        "object_contour of scan1_0 has 300 characters.\nExpected: at most 250: EcoTaxa takes no more.\nFix: shorten it."
    )
    assert list((tmp_path / "new").iterdir()) == []


def changed(**values):
    each = drawn_object(0)
    return each.__class__(**{**vars(each), **values})


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (
            [drawn_object(0, area=math.inf)],
            "object_area of scan1_0 is inf.\nExpected: a finite number, or nothing where",
        ),
        ([drawn_object(0, area="big")], "object_area of scan1_0 is big.\nExpected: a finite number, or nothing where"),
        (
            [drawn_object(0, Area=1)],
            "'object_Area' is no column of EcoTaxa.\nExpected: a name in lower case that starts",
        ),
        ([drawn_object(0), drawn_object(0)], "Two objects are called scan1_0.\nExpected: a name of its own for each."),
        ([changed(name="NA")], "'NA' has the object_id 'NA'.\nExpected: a name."),
        (
            [changed(sample="lost")],
            "scan1_0 has the sample_id 'lost', which is not described.\nExpected: an entry for it",
        ),
        ([changed(status="P")], "scan1_0 has the status 'P'.\nExpected: predicted, dubious, validated, discarded."),
        (
            [changed(picture=vignette(np.zeros((1, 15000), np.uint8), np.ones((1, 15000))))],
            "The vignette of scan1_0 has 21000 x 1 pixels.\nExpected: at most 20000 a side: EcoTaxa takes no more.",
        ),
        (
            [drawn_object(0), drawn_object(1).__class__(**{**vars(drawn_object(1)), "sample": "Station É 2"})],
            "The acquisition d2_1 belongs to the samples Station É 1 and Station É 2.\nExpected: an acquisition of one",
        ),
        (
            [drawn_object(0, **{f"text{index}": "a" for index in range(20)})],
            "There are 21 free columns object_* of [t].\nExpected: at most 20 in a project of EcoTaxa.",
        ),
    ],
)
def test_what_ecotaxa_would_refuse_is_refused(tmp_path, objects, message):
    with pytest.raises(InputError) as caught:
        write_packages(tmp_path, "s", objects, drawn_parents())
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_column_keeps_its_type_in_later_tables(tmp_path):
    objects = [drawn_object(0, new=1), drawn_object(1, new="a")]
    with pytest.raises(InputError, match="object_new of scan1_1 is a"):
        write_packages(tmp_path, "s", objects, drawn_parents(), Limits(rows=1))
