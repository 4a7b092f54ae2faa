"""measure: the command, from a prediction folder to tables and packages."""

import csv
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from plankton_keras.cli import main
from plankton_keras.ecotaxa.lint import lint
from plankton_keras.objects import BandLabeler, label_band
from plankton_keras.prediction import OBJECT_COLUMNS, object_rows
from plankton_keras.sample_tables import read_samples

NAMES = ("non-living", "copepod", "worm", "salp")
# Squares of 40 pixels, and worms of 10 x 100: (top, left, class).
DRAWN = {"rg1": ((50, 50, 1), (50, 200, 1), (200, 50, 2)), "rg2": ((80, 80, 1),)}
SAMPLES = """sample,scan,fraction,sub_part,volume_m3,depth_min_m,depth_max_m,latitude,longitude,date
s,rg1,d1,4,203.5,312,419,47.846,-15.437,2023-06-26
s,rg2,d2,8,203.5,312,419,47.846,-15.437,2023-06-26
"""


def run(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exit_code != code:
        raise AssertionError(f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}")
    return result


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def predict_of(tmp_path, maps):
    """Writes scans and their prediction folder, of class maps by stem."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    scans = []
    for stem, classes in maps.items():
        path = tmp_path / f"{stem}_scan.png"
        cv2.imwrite(str(path), np.where(classes > 0, 90, 220).astype(np.uint8))
        cv2.imwrite(str(folder / f"{stem}_mask.png"), classes)
        labeler = BandLabeler(len(NAMES))
        labeler.add(label_band(classes, num_classes=len(NAMES))[0])
        with open(folder / f"{stem}_objects.csv", "w", newline="") as file:
            csv.writer(file).writerows([OBJECT_COLUMNS, *object_rows(labeler.finish()[0], NAMES)])
        scans.append({"scan": stem, "path": str(path)})
    content = {"status": "done", "scans": scans, "failed": [], "classes": NAMES, "model": "runs/unet"}
    content |= {"model_sha256": "abc", "threshold": 0.4, "settings": {"gray_range": ""}}
    (folder / "prediction.json").write_text(json.dumps(content))
    (tmp_path / "samples.csv").write_text(SAMPLES)
    return folder


@pytest.fixture
def predictions(tmp_path):
    """A prediction folder of two drawn scans."""
    maps = {}
    for stem, objects in DRAWN.items():
        maps[stem] = classes = np.zeros((300, 400), np.uint8)
        for top, left, kind in objects:
            height, width = (40, 40) if kind == 1 else (10, 100)
            classes[top : top + height, left : left + width] = kind
    return predict_of(tmp_path, maps)


@pytest.fixture
def touching(tmp_path):
    """Predictions of a scan with a copepod and a larger salp that touch, and two squares; and one with a worm."""
    classes = np.zeros((300, 400), np.uint8)
    classes[20:60, 20:60] = classes[240:280, 20:60] = 1
    cv2.circle(classes, (150, 150), 30, 3, -1)
    cv2.circle(classes, (205, 150), 27, 1, -1)
    worm = np.zeros((300, 400), np.uint8)
    worm[50:60, 50:150] = 2
    return predict_of(tmp_path, {"rg1": classes, "rg2": worm})


def test_objects_become_tables_packages_abundance_and_spectra(predictions, tmp_path):
    out = tmp_path / "m"
    words = ("measure", predictions, "--out", out, "--metadata", tmp_path / "samples.csv", "--dpi", 2400)
    said = json.loads(run(*words, "--json", "--quiet").stdout)
    assert (said["objects"], said["scans"], said["notes"]) == (4, ["rg1", "rg2"], [])
    rows = table(out / "objects.csv")
    assert [(row["scan"], row["taxon"], row["area"]) for row in rows] == [
        ("rg1", "copepod", "1600"),
        ("rg1", "copepod", "1600"),
        ("rg1", "worm", "1000"),
        ("rg2", "copepod", "1600"),
    ]
    assert float(rows[0]["area_mm2"]) == pytest.approx(1600 * (25.4 / 2400) ** 2)
    # Two copepods that stand for 4 each and one for 8, in 203.5 m3 over 107 m; no salp, and a row all the same.
    found = {(row["taxon"], row["unit"]): row for row in table(out / "abundance.csv")}
    assert float(found["copepod", "ind/m3"]["value"]) == pytest.approx(16 / 203.5)
    assert float(found["copepod", "ind/m2"]["value"]) == pytest.approx(16 / 203.5 * 107)
    assert float(found["salp", "ind/m3"]["value"]) == 0
    assert float(found["all living", "ind/m3"]["value"]) == pytest.approx(20 / 203.5)
    for name in said["tables"].values():
        assert (out / name).with_suffix(".parquet").is_file()
    assert set(said["tables"]) >= {"measured objects", "abundance and biovolume", "size spectra"}


def test_samples_in_which_nothing_was_found_have_rows_of_zeros(tmp_path):
    folder = predict_of(tmp_path, dict.fromkeys(DRAWN, np.zeros((300, 400), np.uint8)))
    words = ("measure", folder, "--out", tmp_path / "m", "--metadata", tmp_path / "samples.csv", "--quiet")
    assert "0 objects of 2 scans" in run(*words).stdout
    rows = table(tmp_path / "m" / "abundance.csv")
    assert {row["taxon"] for row in rows} == {*NAMES[1:], "all living"}
    assert {row["unit"] for row in rows} == {"ind/m3", "ind/m2", "mm3/m3", "mm3/m2"}
    assert {float(row["value"]) for row in rows} == {0}
    # Up to 3.69 animals of the part that was split most could be there.
    highs = [float(row["high"]) for row in rows if row["unit"] == "ind/m3"]
    assert highs == pytest.approx([3.689 * 8 / 203.5] * len(NAMES), rel=0.01)
    assert "No living object was found." in (tmp_path / "m" / "report_s.html").read_text()


def test_touching_animals_are_marked_and_measured_apart_only_where_asked(touching, tmp_path):
    words = ("measure", touching, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--quiet")
    run(*words, "--out", tmp_path / "whole")
    run(*words, "--out", tmp_path / "apart", "--separate")
    whole, apart = (table(tmp_path / name / "objects.csv") for name in ("whole", "apart"))
    assert [(row["scan"], row["label"], row["taxon"], row["multiple"]) for row in whole] == [
        ("rg1", "1", "copepod", "False"),
        ("rg1", "2", "salp", "True"),
        ("rg1", "3", "copepod", "False"),
        ("rg2", "1", "worm", "False"),
    ]
    # The first part keeps the label, the other has the next free one, and each the class of most of its pixels.
    assert [(row["scan"], row["label"], row["taxon"], row["multiple"]) for row in apart] == [
        ("rg1", "1", "copepod", "False"),
        ("rg1", "2", "salp", "False"),
        ("rg1", "4", "copepod", "False"),
        ("rg1", "3", "copepod", "False"),
        ("rg2", "1", "worm", "False"),
    ]
    assert int(apart[1]["area"]) + int(apart[2]["area"]) == int(whole[1]["area"])
    # A disc of radius 27 around 205, and so about 54 wide from 178 on.
    assert [int(apart[2][name]) for name in ("bx", "width")] == pytest.approx([178, 54], abs=3)
    assert apart[0] | {"sample": ""} == whole[0] | {"sample": ""}
    counts = {
        name: {row["taxon"]: row["objects"] for row in table(tmp_path / name / "abundance.csv")}
        for name in ("whole", "apart")
    }
    assert (counts["whole"]["copepod"], counts["apart"]["copepod"], counts["apart"]["salp"]) == ("2", "3", "1")


def test_the_package_and_the_page_follow_the_separation(touching, tmp_path):
    for name, flag in (("whole", ()), ("apart", ("--separate",))):
        run("measure", touching, "--out", tmp_path / name, "--dpi", 2400, "--quiet", *flag)
        with zipfile.ZipFile(tmp_path / name / "ecotaxa_rg1.zip") as package:
            (tsv,) = (each for each in package.namelist() if each.endswith(".tsv"))
            text = package.read(tsv).decode("utf-8-sig")
        head, _, *rows = csv.reader(io.StringIO(text), delimiter="\t")
        rows = [dict(zip(head, row, strict=True)) for row in rows]
        assert sum(float(row["object_multiple"]) for row in rows) == (name == "whole")
        assert len({row["object_id"] for row in rows}) == len(rows) == (3 if name == "whole" else 4)
        assert lint(tmp_path / name / "ecotaxa_rg1.zip") == []
        said = "counted as one" if name == "whole" else "cut apart by their shape"
        assert {row["process_touching_animals"] for row in rows} == {said}
        page = (tmp_path / name / "report_rg1.html").read_text()
        assert said in page
        # One of three living objects is more than a fifth.
        assert ("33.3 % of the living objects" in page) == (name == "whole")


def test_fragments_are_joined_only_where_asked(predictions, tmp_path):
    run("measure", predictions, "--out", tmp_path / "m", "--dpi", 2400, "--quiet", "--join", 1000)
    rows = table(tmp_path / "m" / "objects.csv")
    assert [(row["scan"], row["taxon"], row["area"]) for row in rows] == [
        ("rg1", "copepod", "3200"),
        ("rg1", "worm", "1000"),
        ("rg2", "copepod", "1600"),
    ]
    assert "joined across 1000 px" in (tmp_path / "m" / "report_rg1.html").read_text()
    assert lint(tmp_path / "m" / "ecotaxa_rg1.zip") == []


def test_the_packages_are_clean_and_reckon_the_abundance_in_ecotaxas_way(predictions, tmp_path):
    out = tmp_path / "m"
    run("measure", predictions, "--out", out, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--quiet")
    packages = sorted(out.glob("ecotaxa_*.zip"))
    assert [path.name for path in packages] == ["ecotaxa_rg1.zip", "ecotaxa_rg2.zip"]
    assert [problem for path in packages for problem in lint(path)] == []
    assert run("measure", "--lint", packages[0]).stdout == "0 errors, 0 warnings\n"


def test_scans_of_which_the_same_letters_are_left_have_packages_of_their_own(tmp_path):
    classes = np.zeros((300, 400), np.uint8)
    classes[50:90, 50:90] = 1
    folder = predict_of(tmp_path, {"Été": classes, "Ete": classes})
    said = json.loads(run("measure", folder, "--out", tmp_path / "m", "--json", "--quiet").stdout)
    assert said["packages"] == [str(tmp_path / "m" / f"ecotaxa_{name}.zip") for name in ("Ete", "Ete_2")]
    # EcoTaxa passes over a table whose name it knows.
    tables = [name for path in said["packages"] for name in zipfile.ZipFile(path).namelist() if name.endswith(".tsv")]
    assert tables == ["ecotaxa_Ete_0001.tsv", "ecotaxa_Ete_2_0001.tsv"]


def test_without_metadata_or_resolution_the_rest_is_written_and_it_says_what_is_missing(predictions, tmp_path):
    out = tmp_path / "m"
    said = run("measure", predictions, "--out", out, "--quiet").stdout
    assert "No --metadata: no abundance, biovolume or spectrum." in said
    assert "No resolution of rg1, rg2: no millimetres, volumes or spectra. Give --dpi." in said
    assert sorted(path.name for path in out.iterdir()) == [
        "ecotaxa_rg1.zip",
        "ecotaxa_rg2.zip",
        "measure.json",
        "objects.csv",
        "objects.parquet",
        "report_rg1.html",
        "report_rg2.html",
    ]
    assert f"Report: {out / 'report_rg1.html'}\nReport: {out / 'report_rg2.html'}\n" in said
    page = (out / "report_rg1.html").read_text()
    assert "No metadata of the sample" in page
    assert "No resolution of rg1: no millimetres" in page


def test_a_sample_without_resolution_takes_nothing_from_the_others(predictions, tmp_path):
    (tmp_path / "samples.csv").write_text(SAMPLES.replace("s,rg2", "t,rg2"))
    words = ("measure", predictions, "--metadata", tmp_path / "samples.csv", "--json", "--quiet", "--out")
    run(*words, tmp_path / "both", "--dpi", 2400)
    Image.open(tmp_path / "rg1_scan.png").save(tmp_path / "rg1_scan.png", dpi=(2400, 2400))
    said = json.loads(run(*words, tmp_path / "one").stdout)
    assert said["notes"] == ["No resolution of rg2: no millimetres, volumes or spectra. Give --dpi."]
    for name in ("abundance.csv", "spectra.csv", "slopes.csv"):
        known, lacking = ([row for row in table(tmp_path / "one" / name) if row["sample"] == each] for each in "st")
        expected = [row for row in table(tmp_path / "both" / name) if row["sample"] == "s"]
        assert [row.keys() for row in known] == [row.keys() for row in expected], name
        for found, wanted in zip(known, expected, strict=True):
            for key, value in wanted.items():
                # The file rounds its resolution to whole dots in a metre.
                same = found[key] == value or float(found[key]) == pytest.approx(float(value), rel=1e-3)
                assert same, (name, key)
        assert (len(lacking) > 0) == (name == "abundance.csv")
    assert "No resolution of rg2" not in (tmp_path / "one" / "report_s.html").read_text()


def test_what_ecotaxa_does_not_take_is_left_out_and_said(tmp_path):
    classes = np.zeros((60, 15000), np.uint8)
    classes[20:30, 100:14500] = 2
    classes[40:55, 100:140] = 1
    folder = predict_of(tmp_path, {"rg1": classes})
    long = "c" * 260
    (tmp_path / "samples.csv").write_text(f"scan,sample,sub_part,volume_m3,comment\nrg1,s,4,100,{long}\n")
    words = ("measure", folder, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--json", "--quiet")
    said = json.loads(run(*words, "--out", tmp_path / "m").stdout)
    assert said["objects"] == 2
    assert "Larger than EcoTaxa takes, and in no package for it: rg1_1." in said["notes"]
    (package,) = said["packages"]
    assert lint(package) == []
    with zipfile.ZipFile(package) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".tsv"))
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode()), delimiter="\t"))
    assert [row["object_id"] for row in rows[1:]] == ["rg1_2"]
    assert rows[1]["sample_comment"] == long[:250]


def test_scans_that_could_not_be_predicted_are_named(predictions, tmp_path):
    content = json.loads((predictions / "prediction.json").read_text())
    content |= {"status": "failed", "failed": [{"scan": "bad.png", "path": "bad.png", "error": "It is no image."}]}
    (predictions / "prediction.json").write_text(json.dumps(content))
    said = run("measure", predictions, "--out", tmp_path / "m", "--quiet").stdout
    assert "Not predicted, and so not measured: bad.png." in said


def test_a_file_that_is_not_written_is_not_named(tmp_path):
    folder = predict_of(tmp_path, {"rg1": np.zeros((300, 400), np.uint8)})
    said = run("measure", folder, "--out", tmp_path / "m", "--quiet").stdout
    assert said.startswith("0 objects of 1 scan\n")
    assert "objects.csv" not in said + (tmp_path / "m" / "report_rg1.html").read_text()


def test_each_sample_gets_a_page_and_plots(predictions, tmp_path):
    cv2.imwrite(str(predictions / "rg1_overlay.jpg"), np.full((20, 3200, 3), 200, np.uint8))
    content = json.loads((predictions / "prediction.json").read_text())
    content["scans"][1]["unlike_training"] = ["gray level of the ground 150 (training scans: 221 to 231)"]
    (predictions / "prediction.json").write_text(json.dumps(content))
    table = SAMPLES.replace("s,rg1", "a/b,rg1").replace("s,rg2", "a b,rg2")
    (tmp_path / "samples.csv").write_text(table)
    out = tmp_path / "m"
    said = run("measure", predictions, "--out", out, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--json")
    made = json.loads(said.stdout)
    # Names of files are plain, and no two samples share one.
    assert made["reports"] == [str(out / "report_a_b.html"), str(out / "report_a_b_2.html")]
    kinds = [f"{kind}.{suffix}" for kind in ("spectrum", "abundance") for suffix in ("png", "svg")]
    assert made["plots"] == [str(out / f"{name}_{kind}") for name in ("a_b", "a_b_2") for kind in kinds]
    assert all(Path(path).stat().st_size for path in made["plots"] + made["reports"])
    first, second = (Path(path).read_text() for path in made["reports"])
    assert "<h1>Sample a/b</h1>" in first
    assert "<h2>Size spectrum</h2>" in first
    assert "data:image/jpeg" in first
    assert "Only 3 living objects" in first
    assert "rg2" not in first
    assert "unlike the training scans" not in first
    # Two copepods of which each stands for four.
    assert f"{8 / 203.5:.5f}" in first
    assert "rg2 is unlike the training scans: gray level of the ground 150" in second
    assert "data:image/jpeg" not in second


def test_scans_of_one_sample_share_a_page(predictions, tmp_path):
    out = tmp_path / "m"
    words = ("measure", predictions, "--out", out, "--metadata", tmp_path / "samples.csv", "--dpi", 2400, "--quiet")
    assert (
        f"plot: {out / 's_spectrum.png'}\nplot: {out / 's_abundance.png'}\nReport: {out / 'report_s.html'}"
        in run(*words).stdout
    )
    page = (out / "report_s.html").read_text()
    assert "rg1, rg2" in page
    assert "ecotaxa_rg1.zip, ecotaxa_rg2.zip, objects.csv" in page
    assert len(list(out.glob("report_*.html"))) == 1


def test_a_sample_of_which_a_scan_was_not_predicted_says_so(predictions, tmp_path):
    content = json.loads((predictions / "prediction.json").read_text())
    lost = content["scans"].pop()
    content |= {"status": "failed", "failed": [lost]}
    (predictions / "prediction.json").write_text(json.dumps(content))
    rows = SAMPLES + "other,rg3,d1,4,203.5,312,419,47.846,-15.437,2023-06-26\n"
    (tmp_path / "samples.csv").write_text(rows)
    words = ("measure", predictions, "--out", tmp_path / "m", "--metadata", tmp_path / "samples.csv", "--dpi", 2400)
    said = json.loads(run(*words, "--json", "--quiet").stdout)
    # Of the other sample there is nothing at all, and no number.
    assert said["notes"] == [
        "Not predicted, and so not measured: rg2.",
        "The metadata also have rows of the scans rg2, rg3: not among these scans.",
        "The sample s is without the scan rg2: its abundance, biovolume and spectrum are of its other scans alone, and "
        "too low.",
    ]
    page = (tmp_path / "m" / "report_s.html").read_text()
    assert "Without the scan rg2 of this sample: all numbers are of its other scans alone." in page


def test_the_resolution_of_a_file_goes_before_dpi_and_it_is_said(predictions, tmp_path):
    Image.open(tmp_path / "rg2_scan.png").save(tmp_path / "rg2_scan.png", dpi=(1200, 1200))
    said = run("measure", predictions, "--out", tmp_path / "m", "--dpi", 2400, "--quiet").stdout
    assert "\n--dpi is not applied to files that say their resolution: rg2 (1200 dpi).\n" in said
    areas = {row["scan"]: float(row["area_mm2"]) for row in table(tmp_path / "m" / "objects.csv")}
    assert areas["rg2"] == pytest.approx(1600 * (25.4 / 1200) ** 2, rel=1e-4)
    again = ("measure", predictions, "--out", tmp_path / "m", "--quiet", "--overwrite")
    assert "--dpi is not applied" not in run(*again).stdout


def test_scans_that_moved_are_found_in_the_folder_that_is_named(predictions, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in tmp_path.glob("*_scan.png"):
        path.rename(moved / path.name)
    refused = run("measure", predictions, "--out", tmp_path / "m", "--quiet", code=3)
    assert "rg1_scan.png does not exist." in refused.stderr
    words = ("measure", predictions, "--out", tmp_path / "m", "--scans", moved, "--overwrite", "--json", "--quiet")
    assert json.loads(run(*words).stdout)["objects"] == 4


def test_a_package_with_errors_ends_with_3_and_names_them(predictions, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "ecotaxa_a.tsv").write_text("img_file_name\tobject_id\n[t]\t[t]\na.png\tx\n")
    said = run("measure", "--lint", tmp_path / "p", code=3).stdout
    assert "ecotaxa_a.tsv, row 3, column img_file_name" in said
    assert "1 error, " in said


def test_the_template_is_a_table_that_is_read_again(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text(run("measure", "--template").stdout)
    assert len(read_samples(path)[0]) == 1


@pytest.mark.parametrize(("words", "missing"), [((), "argument 'PREDICTIONS'"), (("predictions",), "option '--out'")])
def test_what_is_missing_is_named(words, missing):
    assert f"Missing {missing}." in run("measure", *words, code=2).stderr


def test_predictions_that_are_not_finished_are_refused(predictions, tmp_path):
    content = json.loads((predictions / "prediction.json").read_text())
    (predictions / "prediction.json").write_text(json.dumps({**content, "status": "running"}))
    refused = run("measure", predictions, "--out", tmp_path / "m", code=4)
    assert refused.stderr.startswith(f"{predictions} is not finished.\n")


def test_validated_objects_come_back_from_ecotaxa_as_training_data(predictions, tmp_path):
    from plankton_keras.data.records import read_manifest
    from plankton_keras.data.vignette_records import read_vignettes

    out = tmp_path / "m"
    run("measure", predictions, "--out", out, "--dpi", 2400, "--quiet")
    # A person has looked: the worm is a chaetognath, all others are what was predicted.
    with zipfile.ZipFile(out / "ecotaxa_rg1.zip") as package, zipfile.ZipFile(tmp_path / "back.zip", "w") as back:
        for name in package.namelist():
            content = package.read(name)
            if name.endswith(".tsv"):
                text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
                content = text.replace("predicted", "validated").replace("worm", "Chaetognatha").encode()
            back.writestr(name, content)
    words = ("make-tfrecords", tmp_path / "back.zip", "--out", tmp_path / "records", "--val-fraction", 0, "--quiet")
    run(*words)
    manifest = read_manifest(tmp_path / "records")
    images, sides, labels = read_vignettes(tmp_path / "records", manifest, "train")
    assert manifest.classes == ("Chaetognatha", "copepod")
    assert sorted(zip(labels.tolist(), sides[:, 0].tolist(), strict=True)) == [(0, 100), (1, 40), (1, 40)]
    # A square of 90 / 220 * 255 fills its vignette.
    assert abs(int(images[labels == 1][0].min()) - 104) <= 2
