"""ecotaxa.labels: what comes back from EcoTaxa has the labels and the pixels that were sent."""

import hashlib
import zipfile

import numpy as np
import pytest
from drawn_packages import CATEGORIES, cells_of, crop_of, drawn_package, files_of, table_of, write_files

from plankton_keras.ecotaxa.labels import find_labelled
from plankton_keras.ecotaxa.tables import is_ecotaxa_package
from plankton_keras.errors import InputError
from plankton_keras.patches import unit_hash
from plankton_keras.predictors import Classifier
from plankton_keras.truths import seen_vignettes, truths_of_vignettes
from plankton_keras.vignettes import load_vignettes, read_vignette, squared

TABLE = "ecotaxa_drawn_0001.tsv"


def edited(path, out, change, types=True):
    """Writes a package anew with its tables changed, as EcoTaxa gives them back."""
    files = files_of(path)
    for name in [name for name in files if name.endswith(".tsv")]:
        cells = cells_of(files[name])
        for row in cells[2:]:
            values = dict(zip(cells[0], row, strict=True))
            change(values)
            row[:] = values.values()
        files[name] = table_of(cells if types else [cells[0], *cells[2:]])
    return write_files(out, files)


def validate(values):
    values["object_annotation_status"] = "validated"


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A package of four scans, four objects each, of four categories."""
    (path,) = drawn_package(tmp_path_factory.mktemp("sent"))
    return path


@pytest.fixture(scope="module")
def validated(sent):
    """The same, come back with every object confirmed."""
    return edited(sent, sent.with_name("validated.zip"), validate)


def pixels_by_name(found):
    return {each.path.name: (each.label, read_vignette(each.path)) for each in found}


@pytest.mark.parametrize("types", [True, False])
@pytest.mark.parametrize("unpacked", [True, False])
def test_the_same_labels_and_pixels_come_back(sent, tmp_path, types, unpacked):
    path = edited(sent, tmp_path / "back.zip", validate, types)
    if unpacked:
        zipfile.ZipFile(path).extractall(tmp_path / "back")
        path = tmp_path / "back"
    back = pixels_by_name(find_labelled(path, val_fraction=0.5))
    assert len(back) == 16
    for scan in (1, 2, 3, 4):
        for index in range(4):
            label, pixels = back[f"scan{scan}_{index}.png"]
            assert label == CATEGORIES[index]
            assert (pixels == crop_of(index, scan)).all()


def test_they_come_by_class_and_split_by_their_bytes(validated):
    found = find_labelled(validated, val_fraction=0.5)
    assert [each.label for each in found] == sorted(each.label for each in found)
    assert {each.split for each in found} == {"train", "val"}
    for each in found:
        digest = hashlib.sha256(each.path.read_bytes()).hexdigest()
        assert each.split == ("val" if unit_hash(digest) < 0.5 else "train")


def test_they_load_as_vignettes_in_folders_do(validated):
    found = find_labelled(validated, val_fraction=0)
    images, sides, labels = load_vignettes(found, sorted(CATEGORIES), 32)
    place = [each.path.name for each in found].index("scan2_3.png")
    assert (images[place, ..., 0] == squared(crop_of(3, 2), 32)).all()
    # 12 + 3 rows, 15 + 6 columns: without border, footer and the room for the bar.
    assert sides[place] == 21
    assert labels[place] == sorted(CATEGORIES).index(CATEGORIES[3])


def test_a_classifier_is_scored_on_a_package_as_on_folders(validated):
    found = find_labelled(validated, val_fraction=0)
    classes = tuple(sorted({each.label for each in found}))
    classifier = Classifier(None, classes, living=None, living_share=None, size=32, digest="", source="runs/taxa")
    vignettes = truths_of_vignettes(validated, "val", classifier)
    for ours, theirs in zip(vignettes, load_vignettes(found, classes, 32), strict=True):
        assert np.array_equal(ours, theirs)
    assert seen_vignettes(validated, "val", vignettes, classifier) == []


def test_only_what_is_validated_counts(sent, tmp_path):
    def change(values):
        if values["object_id"].startswith("scan1"):
            values["object_annotation_status"] = "Validated"
        elif values["object_id"].startswith("scan2"):
            values["object_annotation_status"] = "dubious"

    path = edited(sent, tmp_path / "a.zip", change)
    assert {each.path.name[:5] for each in find_labelled(path, 0)} == {"scan1"}
    both = find_labelled(path, 0, statuses=("validated", "dubious"))
    assert {each.path.name[:5] for each in both} == {"scan1", "scan2"}


def test_of_several_images_the_first_is_taken(validated, tmp_path):
    files = files_of(validated)
    cells = cells_of(files[TABLE])
    rank, name = cells[0].index("img_rank"), cells[0].index("img_file_name")
    for place in (2, 3, 4):
        second = list(cells[place])
        second[rank], second[name] = "1", cells[2][name]
        cells.insert(2, second)
    files[TABLE] = table_of(cells)
    back = pixels_by_name(find_labelled(write_files(tmp_path / "a.zip", files), 0))
    assert len(back) == 16
    assert all((pixels == crop_of(int(each[6]), int(each[4]))).all() for each, (_, pixels) in back.items())


def test_pictures_of_others_stay_whole(tmp_path):
    import cv2

    jpeg = cv2.imencode(".jpg", np.full((40, 30), 200, np.uint8))[1].tobytes()
    table = (
        '"img_file_name"\t"object_id"\t"object_annotation_status"\t"object_annotation_category"\n'
        '"s/a.jpg"\t"a"\t"validated"\t"Calanoida"\n"s/b.jpg"\t"b"\t"validated"\t"detritus"\n'
    )
    files = {"ecotaxa_export_12.tsv": b"\xef\xbb\xbf" + table.encode(), "s/a.jpg": jpeg, "s/b.jpg": jpeg + b" "}
    found = find_labelled(write_files(tmp_path / "export.zip", {**files, "job_1.log": b""}), 0)
    assert [(each.label, read_vignette(each.path).shape) for each in found] == [
        ("Calanoida", (40, 30)),
        ("detritus", (40, 30)),
    ]


def test_a_package_is_told_from_folders_of_scans_and_vignettes(sent, tmp_path):
    (tmp_path / "copepod").mkdir()
    (tmp_path / "copepod" / "1.png").write_bytes(b"")
    (tmp_path / "notes.zip").write_bytes(b"text")
    write_files(tmp_path / "other.zip", {"data.tsv": b""})
    zipfile.ZipFile(sent).extractall(tmp_path / "sent")
    asked = [
        sent,
        tmp_path / "sent",
        tmp_path / "copepod",
        tmp_path / "notes.zip",
        tmp_path / "other.zip",
        tmp_path / "no",
    ]
    assert [is_ecotaxa_package(path) for path in asked] == [True, True, False, False, False, False]


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        find_labelled(path, 0, **options)
    return str(caught.value)


def test_a_package_that_nobody_validated_is_refused(sent):
    assert refused(sent) == (
        f"{sent} has fewer than two classes of validated objects; of all its rows: 16 predicted.\n"
        "Expected: two classes or more.\n"
        "Fix: validate objects in EcoTaxa first, then export them."
    )


def test_an_object_of_two_categories_is_refused(validated, tmp_path):
    def rename(values):
        if values["object_id"] == "scan2_2":
            values["object_id"] = "scan1_1"

    path = edited(validated, tmp_path / "a.zip", rename)
    assert refused(path) == (
        f"{path}: {TABLE}, row 9: scan1_1 is 'detritus', but in a row before 'part<Crustacea'.\n"
        "Expected: one category of each object_id.\n"
        "Fix: name the objects of samples or projects apart, or export them one by one."
    )


EXPORT = "Fix: export the project from EcoTaxa again, with images and annotations."


def test_what_is_missing_is_named_with_its_row(validated, tmp_path):
    files = files_of(validated)
    path = write_files(tmp_path / "a.zip", {name: file for name, file in files.items() if "scan1_1" not in name})
    assert refused(path) == (
        f"{path}: {TABLE}, row 4: scan1_1 has no image 'drawn_0001/scan1_1.png'.\n"
        f"Expected: an image and a category of each object that counts.\n{EXPORT}"
    )

    for missing in ("", "NaN"):

        def lose(values, missing=missing):
            if values["object_id"] == "scan1_2":
                values["object_annotation_category"] = missing

        path = edited(validated, tmp_path / f"b{missing}.zip", lose)
        assert refused(path).startswith(f"{path}: {TABLE}, row 5: scan1_2 has no category.")

    def unname(values):
        values["object_id"] = ""

    path = edited(validated, tmp_path / "c.zip", unname)
    assert refused(path).startswith(f"{path}: {TABLE}, row 3: an object has no object_id.")


def test_an_export_without_images_or_damaged_is_refused(tmp_path, sent):
    path = write_files(tmp_path / "a.zip", {"ecotaxa_a.tsv": b"object_id\tobject_annotation_status\n"})
    assert refused(path) == (
        f"{path}: ecotaxa_a.tsv has no column img_file_name.\n"
        "Expected: img_file_name, object_id, object_annotation_status, object_annotation_category.\n" + EXPORT
    )
    damaged = write_files(tmp_path / "b.zip", files_of(sent))
    damaged.write_bytes(damaged.read_bytes().replace(b"Oithona", b"Oithono", 1))
    assert refused(damaged).startswith(f"{damaged}: {TABLE} cannot be read after row ")
    empty = write_files(tmp_path / "c.zip", {"a.png": b""})
    assert refused(empty).startswith(f"{empty} holds no table of EcoTaxa.\nExpected: ecotaxa*.tsv or ecotaxa*.txt.")
    assert refused(tmp_path / "d.zip").startswith(f"{tmp_path / 'd.zip'} does not exist.")


def test_a_picture_that_was_damaged_is_refused_by_name(tmp_path):
    (path,) = drawn_package(tmp_path, count=2, scans=2)
    package = edited(path, tmp_path / "back.zip", lambda values: values.update(object_annotation_status="validated"))
    content, picture = package.read_bytes(), files_of(package)["drawn_0001/scan1_0.png"]
    # A byte of a stored picture no longer has the sum of its .zip.
    package.write_bytes(content.replace(picture, picture[:-20] + b"?" + picture[-19:]))
    assert refused(package) == (
        f"{package}/drawn_0001/scan1_0.png cannot be read: Bad CRC-32 for file 'drawn_0001/scan1_0.png'.\n"
        "Expected: a whole file.\nFix: copy it or export it anew."
    )
