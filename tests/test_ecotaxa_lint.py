"""ecotaxa.lint: each rule has a package that breaks it alone, and is named with its row and column."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawn_packages import cells_of, drawn_package, files_of, table_of, write_files
from PIL import Image

from plankton_keras import image_claims
from plankton_keras.ecotaxa import rules, tables
from plankton_keras.ecotaxa.lint import NAMED, Problem, lint
from plankton_keras.ecotaxa.rules import RULES

TABLE = "ecotaxa_drawn_0001.tsv"
PICTURE = "drawn_0001/scan1_0.png"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The files of a package without a problem: two scans, two objects each, in rows 3 to 6."""
    (path,) = drawn_package(tmp_path_factory.mktemp("good"), count=2, scans=2)
    assert lint(path) == []
    return files_of(path)


def found(path):
    return [(problem.rule, problem.file, problem.row, problem.column) for problem in lint(path)]


class Spoiler:
    """Changes one thing of a package."""

    def __init__(self, files):
        self.files, self.cells = dict(files), cells_of(files[TABLE])

    def column(self, name):
        return self.cells[0].index(name)

    def set(self, row, name, value):
        self.cells[row - 1][self.column(name)] = value

    def add(self, name, kind, *values):
        values = [*values, *[values[-1]] * 4][:4]
        for cells, value in zip(self.cells, (name, kind, *values), strict=True):
            cells.append(value)

    def drop(self, name):
        place = self.column(name)
        for cells in self.cells:
            del cells[place]

    def write(self, path, encoding="utf-8-sig"):
        if TABLE in self.files:
            self.files[TABLE] = table_of(self.cells, encoding)
        return write_files(path, self.files)


def picture(kind="PNG", mode="L", size=(9, 9), **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def set_(row, name, value):
    return lambda spoiler: spoiler.set(row, name, value)


def of_all(name, value):
    return lambda spoiler: [spoiler.set(row, name, value) for row in (3, 4, 5, 6)]


def add(name, kind, *values):
    return lambda spoiler: spoiler.add(name, kind, *values)


def replace(name, content):
    return lambda spoiler: spoiler.files.update({name: content})


def pair(name, value):
    """Spoils both rows of the first process, acquisition or sample, which stay equal."""
    return lambda spoiler: [spoiler.set(row, name, value) for row in (3, 4)]


def second_image(rank, name="drawn_0001/scan1_0.png"):
    """Adds an image to the first object, or the same once more."""

    def change(spoiler):
        spoiler.cells.append(list(spoiler.cells[2]))
        spoiler.set(7, "img_rank", rank)
        spoiler.set(7, "img_file_name", name)
        spoiler.files[name] = spoiler.files[PICTURE]

    return change


def no_ranks(spoiler):
    spoiler.drop("img_rank")
    second_image_without_rank = list(spoiler.cells[2])
    spoiler.cells.append(second_image_without_rank)
    spoiler.set(7, "img_file_name", "b.png")
    spoiler.files["b.png"] = spoiler.files[PICTURE]


def deep_png():
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(file, "PNG")
    return file.getvalue()


def deep_colour():
    import cv2

    return cv2.imencode(".png", np.zeros((4, 4, 3), np.uint16))[1].tobytes()


# Rule, what is changed, and where it is found: (row, column), or (file, row, column).
BROKEN = {
    "status unknown": ("status", set_(3, "object_annotation_status", "P"), (3, "object_annotation_status")),
    "status alone": ("status", set_(4, "object_annotation_category", ""), (4, "object_annotation_status")),
    "category alone": ("status", set_(5, "object_annotation_status", ""), (5, "object_annotation_category")),
    "capital E": ("table name", replace("Ecotaxa_b.tsv", b""), ("Ecotaxa_b.tsv", None, None)),
    "capital suffix": ("table name", replace("ecotaxa_b.TSV", b""), ("ecotaxa_b.TSV", None, None)),
    "other table": ("passed over", replace("b.tsv", b""), ("b.tsv", None, None)),
    "lost picture": ("passed over", replace("z/b.png", picture()), ("z/b.png", None, None)),
    "no prefix": ("header", add("area", "[f]", "1"), (1, "area")),
    "unknown prefix": ("header", add("obj_area", "[f]", "1"), (1, "obj_area")),
    "own column of images": ("header", add("img_size", "[f]", "1"), (1, "img_size")),
    "twice in the header": ("header", add("OBJECT_area", "[f]", "1"), (1, "object_area")),
    "no object_id": ("mandatory", lambda s: s.drop("object_id"), (1, "object_id")),
    "no acq_id": ("mandatory", lambda s: s.drop("acq_id"), (1, "acq_id")),
    "no process_id": ("mandatory", lambda s: s.drop("process_id"), (1, "process_id")),
    "no sample_id": ("mandatory", lambda s: s.drop("sample_id"), (1, "sample_id")),
    "unknown type": ("types", add("object_new", "[n]", "1"), (2, "object_new")),
    "short types": ("types", lambda s: s.cells[1].pop(), (2, None)),
    "short row": ("cells", lambda s: s.cells[3].pop(), (4, None)),
    "long row": ("cells", lambda s: s.cells[3].append(""), (4, None)),
    "no id of an object": ("id", set_(3, "object_id", " "), (3, "object_id")),
    "no id of a process": ("id", set_(3, "process_id", ""), (3, "process_id")),
    "long text": ("text", set_(6, "object_second", "x" * 251), (6, "object_second")),
    "long text of a sample": ("text", add("sample_note", "[t]", "x" * 251), (3, "sample_note")),
    "infinite": ("number", set_(3, "object_area", "-inf"), (3, "object_area")),
    "no number": ("number", set_(4, "object_area", "1,5"), (4, "object_area")),
    "no number of a sample": ("number", of_all("sample_net_mesh", "fine"), (3, "sample_net_mesh")),
    "latitude": ("position", set_(3, "object_lat", "90.01"), (3, "object_lat")),
    "longitude": ("position", set_(3, "object_lon", "181°00 00"), (3, "object_lon")),
    "date": ("date", set_(3, "object_date", "2023-06-31"), (3, "object_date")),
    "date of annotation": ("date", add("object_annotation_date", "[t]", "today", ""), (3, "object_annotation_date")),
    "time": ("time", set_(3, "object_time", "8:28"), (3, "object_time")),
    "rank above": ("rank", second_image("10", "b.png"), (7, "img_rank")),
    "rank of a fraction": ("rank", second_image("1.5", "b.png"), (7, "img_rank")),
    "rank twice": ("rank", second_image("0", "b.png"), (3, "img_rank")),
    "rank left out": ("rank", second_image("2", "b.png"), (3, "img_rank")),
    "first rank": ("rank", set_(5, "img_rank", "1"), (5, "img_rank")),
    "no picture": ("picture", lambda s: s.files.pop(PICTURE), (3, "img_file_name")),
    "picture above the package": ("picture", set_(3, "img_file_name", "../b.png"), (3, "img_file_name")),
    "picture of another format": ("picture", replace(PICTURE, picture("BMP")), (3, "img_file_name")),
    "no picture at all": ("picture", replace(PICTURE, b"text"), (3, "img_file_name")),
    "empty picture": ("picture", replace(PICTURE, b""), (3, "img_file_name")),
    "picture of 1 bit": ("picture", replace(PICTURE, picture(mode="1")), (3, "img_file_name")),
    "picture of 16 bit": ("picture", replace(PICTURE, deep_png()), (3, "img_file_name")),
    "colours of 16 bit": ("picture", replace(PICTURE, deep_colour()), (3, "img_file_name")),
    "picture for print": ("picture", replace(PICTURE, picture("JPEG", "CMYK")), (3, "img_file_name")),
    "huge picture": ("picture", replace(PICTURE, picture(size=(20001, 1))), (3, "img_file_name")),
    "cut off PNG": ("picture", replace(PICTURE, picture()[:-4]), (3, "img_file_name")),
    "cut off JPEG": ("picture", replace(PICTURE, picture("JPEG")[:-2]), (3, "img_file_name")),
    "twice": ("twice", second_image("0"), (7, "img_file_name")),
    "constant": ("constant", set_(4, "sample_tot_vol", "100"), (4, "sample_tot_vol")),
    "constant of a process": ("constant", set_(4, "process_threshold", "0.6"), (4, "process_threshold")),
    "depths": ("depth", set_(3, "object_depth_max", "-1"), (3, "object_depth_max")),
    "depth in the air": ("depth", set_(3, "object_depth_min", "-5"), (3, "object_depth_min")),
    "depth below the sea": ("depth", set_(3, "object_depth_max", "12000"), (3, "object_depth_max")),
    "unknown depth": ("sentinel", set_(3, "object_depth_max", "99999"), (3, "object_depth_max")),
    "unknown depth of the sea": ("sentinel", add("sample_bottomdepth", "[f]", "99999"), (3, "sample_bottomdepth")),
    "unknown volume": ("sentinel", of_all("sample_tot_vol", "-9"), (3, "sample_tot_vol")),
    "part": ("sub_part", pair("acq_sub_part", "0.25"), (3, "acq_sub_part")),
    "volume": ("tot_vol", of_all("sample_tot_vol", "0"), (3, "sample_tot_vol")),
    "pixel": (
        "pixel size",
        pair("process_particle_pixel_size_mm", "0.0212"),
        (3, "process_particle_pixel_size_mm"),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_package_that_breaks_one_rule_has_that_problem_alone(good, tmp_path, name):
    rule, change, place = BROKEN[name]
    spoiler = Spoiler(good)
    change(spoiler)
    place = place if len(place) == 3 else (TABLE, *place)
    assert found(spoiler.write(tmp_path / "a.zip")) == [(rule, *place)]


def test_a_cut_off_file_is_no_package(good, tmp_path):
    path = Spoiler(good).write(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-30])
    (problem,) = lint(path)
    assert str(problem) == (
        f"error: {path}: cannot be read as .zip: File is not a zip file (expected: a folder or a whole .zip file)"
    )
    assert [problem.what for problem in lint(tmp_path / "b.zip")] == ["does not exist"]


def test_a_damaged_table_is_named(good, tmp_path):
    path = Spoiler(good).write(tmp_path / "a.zip")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Oithona", b"Oithono", 1))
    assert found(path) == [("package", TABLE, None, None)]


def test_no_table_and_too_many(good, tmp_path, monkeypatch):
    files = {name: content for name, content in good.items() if name != TABLE and not name.endswith(".png")}
    assert found(write_files(tmp_path / "a.zip", {**files, "readme.txt": b""})) == [("tables", "a.zip", None, None)]
    monkeypatch.setattr("plankton_keras.ecotaxa.lint.MAX_TABLES", 0)
    assert found(Spoiler(good).write(tmp_path / "b.zip")) == [("tables", "b.zip", None, None)]
    assert rules.MAX_TABLES == 2000


def test_utf8_without_a_byte_order_mark_is_an_error_and_latin1_is_none(good, tmp_path):
    assert found(Spoiler(good).write(tmp_path / "a.zip", "latin-1")) == []
    path = Spoiler(good).write(tmp_path / "b.zip", "utf-8")
    assert found(path)[0] == ("encoding", TABLE, 3, "sample_id")
    assert {problem[0] for problem in found(path)} == {"encoding"}
    assert lint(path)[0].what == "'Station É 1' is UTF-8 without a byte order mark"


def test_a_byte_order_mark_before_what_is_no_utf8_is_an_error(good, tmp_path):
    spoiler = Spoiler(good)
    files = {**good, TABLE: b"\xef\xbb\xbf" + table_of(spoiler.cells, "latin-1")}
    assert {problem[0] for problem in found(write_files(tmp_path / "a.zip", files))} == {"encoding"}


def test_a_table_without_types_loses_an_object(good, tmp_path):
    spoiler = Spoiler(good)
    del spoiler.cells[1]
    assert ("types", TABLE, 2, None) in found(spoiler.write(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    ("prefix", "kind", "most"),
    [("object", "[f]", 500), ("object", "[t]", 20), ("sample", "[f]", 60), ("acq", "[t]", 30)],
)
def test_the_columns_that_are_too_many_are_named(good, tmp_path, prefix, kind, most):
    spoiler = Spoiler(good)
    header, types, *_ = spoiler.cells
    placed = rules.PLACED
    has = sum(
        name.startswith(f"{prefix}_") and name not in placed and (prefix != "object" or each == kind)
        for name, each in zip(header, types, strict=True)
    )
    for number in range(most - has):
        spoiler.add(f"{prefix}_new{number}", kind, "1")
    assert found(spoiler.write(tmp_path / "a.zip")) == []
    spoiler.add(f"{prefix}_last", kind, "1")
    assert found(spoiler.write(tmp_path / "a.zip")) == [("free columns", TABLE, 1, f"{prefix}_last")]


def test_a_column_has_one_type_in_all_tables(tmp_path):
    (path,) = drawn_package(tmp_path, count=1, scans=1)
    files = files_of(path)
    cells = [[cell.replace("scan1_0", "scan1_1") for cell in row] for row in cells_of(files[TABLE])]
    cells[1][cells[0].index("object_area")] = "[t]"
    files |= {"ecotaxa_drawn_0002.tsv": table_of(cells), "drawn_0001/scan1_1.png": files[PICTURE]}
    assert found(write_files(path, files)) == [("types", "ecotaxa_drawn_0002.tsv", 2, "object_area")]
    assert lint(path)[0].what == f"is [t] here and [f] in {TABLE}"


def test_an_object_is_in_one_acquisition_and_an_acquisition_in_one_sample(good, tmp_path):
    spoiler = Spoiler(good)
    spoiler.set(5, "object_id", "scan1_0")
    path = spoiler.write(tmp_path / "a.zip")
    assert found(path) == [("fractions", TABLE, 5, "object_id")]
    assert lint(path)[0].what == f"scan1_0 is in the acquisition d2_1 too: {TABLE}, row 3"
    spoiler = Spoiler(good)
    spoiler.set(4, "sample_id", "Station É 9")
    path = spoiler.write(tmp_path / "b.zip")
    assert found(path) == [("sample", TABLE, 4, "acq_id")]
    assert lint(path)[0].what == f"d2_1 is of the sample Station É 1 too: {TABLE}, row 3"


def test_parents_are_the_same_over_tables(tmp_path):
    (path,) = drawn_package(tmp_path, count=1, scans=1)
    files = files_of(path)
    cells = [[cell.replace("scan1_0", "scan1_1") for cell in row] for row in cells_of(files[TABLE])]
    cells[2][cells[0].index("sample_tot_vol")] = "1"
    files |= {"sub/ecotaxa_b.tsv": table_of(cells), "sub/drawn_0001/scan1_1.png": files[PICTURE]}
    path = write_files(path, files)
    assert found(path) == [("constant", "sub/ecotaxa_b.tsv", 3, "sample_tot_vol")]
    assert lint(path)[0].what == f"is '1' for Station É 1, but '203.5' in {TABLE}, row 3"


@pytest.mark.parametrize(
    "change",
    [
        set_(3, "object_area", "NaN"),
        set_(3, "object_area", "na"),
        set_(3, "object_lat", "47°30 36"),
        set_(3, "object_date", "2023-06-26"),
        set_(3, "object_time", "0828"),
        set_(3, "object_second", "x" * 250),
        set_(3, "object_area", "9999"),
        set_(3, "object_annotation_status", "Validated"),
        pair("process_particle_pixel_size_mm", "0.01058333"),
        second_image("1", "b.png"),
        no_ranks,
        replace(PICTURE, picture("GIF")),
        replace(PICTURE, picture("JPEG", "RGB")),
        replace(PICTURE, picture(size=(20000, 1))),
        replace("readme.txt", b"text"),
        lambda spoiler: [cells.reverse() for cells in spoiler.cells],
        lambda spoiler: spoiler.cells.append([]),
    ],
)
def test_what_ecotaxa_takes_is_no_problem(good, tmp_path, change):
    spoiler = Spoiler(good)
    change(spoiler)
    assert found(spoiler.write(tmp_path / "a.zip")) == []


def test_the_least_package_is_two_columns(tmp_path):
    table = b"img_file_name\tobject_id\n[t]\t[t]\na.png\tscan1_0001\n"
    assert lint(write_files(tmp_path / "a.zip", {"ecotaxa_a.tsv": table, "a.png": picture()})) == []


def test_a_folder_is_checked_as_a_zip_is(good, tmp_path):
    spoiler = Spoiler(good)
    spoiler.set(3, "object_lat", "91")
    path = spoiler.write(tmp_path / "a.zip")
    zipfile.ZipFile(path).extractall(tmp_path / "folder")
    assert lint(tmp_path / "folder") == lint(path)


def test_all_problems_come_at_once_by_row_errors_and_warnings_apart(good, tmp_path):
    spoiler = Spoiler(good)
    spoiler.set(5, "object_date", "soon")
    spoiler.set(3, "object_lat", "91")
    spoiler.set(4, "object_depth_min", "-3")
    problems = lint(spoiler.write(tmp_path / "a.zip"))
    assert [str(problem) for problem in problems] == [
        f"error: {TABLE}, row 3, column object_lat: '91' is not within 90 degrees (expected: latitudes within 90, "
        "longitudes within 180: decimal degrees, or ddd°MM SS)",
        f"warning: {TABLE}, row 4, column object_depth_min: -3 m is not between 0 and 11000 m (expected: metres from 0 "
        "to 11000, the least depth not below the greatest)",
        f"error: {TABLE}, row 5, column object_date: 'soon' is no date YYYYMMDD or YYYY-MM-DD (expected: YYYYMMDD or "
        "YYYY-MM-DD)",
    ]


def test_what_is_wrong_in_every_row_is_counted(tmp_path):
    table = "img_file_name\tobject_id\tobject_lat\n[t]\t[t]\t[f]\n"
    table += "".join(f"a.png\to{number}\t91\n" for number in range(NAMED + 7))
    problems = lint(write_files(tmp_path / "a.zip", {"ecotaxa_a.tsv": table.encode(), "a.png": picture()}))
    assert len(problems) == NAMED + 1
    assert problems[-1] == Problem("ecotaxa_a.tsv", None, "object_lat", "the same in 7 more rows", "position")


def test_each_rule_stands_in_the_page_on_ecotaxa():
    page = (Path(__file__).resolve().parents[1] / "docs" / "ecotaxa.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert {name.strip("`"): tuple(rest) for name, *rest in rows if rest[0] in ("error", "warning")} == RULES


def test_each_rule_is_broken_here():
    apart = {"package", "tables", "encoding", "free columns", "fractions", "sample"}
    assert {rule for rule, *_ in BROKEN.values()} | apart == set(RULES)


def test_a_picture_and_a_line_that_would_fill_the_memory_are_problems(good, tmp_path, monkeypatch):
    path = write_files(tmp_path / "a.zip", good)
    monkeypatch.setattr(image_claims, "MOST_BYTES", len(good[PICTURE]) - 1)
    texts = [str(problem) for problem in lint(path) if problem.rule == "picture"]
    assert texts[0].startswith(
        f"error: {TABLE}, row 3, column img_file_name: {PICTURE} cannot be read: "
        f"it has more than {len(good[PICTURE]) - 1} bytes (expected: "
    )
    monkeypatch.setattr(tables, "MOST_LETTERS", 100)
    assert [str(problem).split(" (")[0] for problem in lint(path) if problem.rule == "package"] == [
        f"error: {TABLE}: cannot be read after row 0: a line has 100 letters or more"
    ]
