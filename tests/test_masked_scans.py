"""masked_scans: what somebody's own masks amount to."""

import csv
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

from plankton_keras.cli import main
from plankton_keras.describe import describe
from plankton_keras.errors import InputError
from plankton_keras.masked_scans import classes_of, find_masked
from plankton_keras.taxa import Taxon
from plankton_keras.taxa import read_taxa as read_table

TAXA = "id,name,living\n0,ground,0\n3,fibre,0\n40,Calanus,1\n900,Oithona,1\n"
SAMPLES = "sample,scan,sub_part,volume_m3\ns,a,4,200\n"


def draw(folder, taxa=None, dtype=np.uint16, **squares):
    """Draws a scan and its mask of squares: `id=(top, left, side)` with the id after an `i`."""
    folder.mkdir(exist_ok=True)
    mask = np.zeros((300, 400), dtype)
    for name, (top, left, side) in squares.items():
        mask[top : top + side, left : left + side] = int(name[1:])
    cv2.imwrite(str(folder / "a_scan.png"), np.where(mask > 0, 90, 220).astype(np.uint8))
    cv2.imwrite(str(folder / "a_mask.png"), mask)
    if taxa:
        (folder / "taxa.csv").write_text(taxa)


def measured(folder, out, *words, code=0):
    result = CliRunner().invoke(main, ["measure", str(folder), "--out", str(out), "--json", "--quiet", *words])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_objects_have_the_taxa_of_the_mask_and_its_pixels(tmp_path):
    draw(tmp_path / "scans", TAXA, i40=(50, 50, 40), i900=(200, 200, 20), i3=(20, 300, 30))
    (tmp_path / "samples.csv").write_text(SAMPLES)
    out = tmp_path / "m"
    said = measured(tmp_path / "scans", out, "--dpi", "2400", "--metadata", str(tmp_path / "samples.csv"))
    assert (said["objects"], said["scans"]) == (3, ["a"])
    found = [(row["taxon"], row["label"], row["area"]) for row in rows(out / "objects.csv")]
    assert found == [("fibre", "1", "900"), ("Calanus", "2", "1600"), ("Oithona", "3", "400")]
    counts = {row["taxon"]: row for row in rows(out / "abundance.csv") if row["unit"] == "ind/m3"}
    # Each stands for 4 of 200 m3; the fibre is no animal.
    assert {name: float(row["value"]) for name, row in counts.items()} == pytest.approx(
        {"all living": 0.04, "Calanus": 0.02, "Oithona": 0.02, "fibre": 0.02}
    )
    assert counts["fibre"]["living"] == "False"


def test_a_mask_of_two_values_needs_no_taxa(tmp_path):
    draw(tmp_path / "scans", dtype=np.uint8, i255=(50, 50, 40))
    said = measured(tmp_path / "scans", tmp_path / "m")
    assert [row["taxon"] for row in rows(tmp_path / "m" / "objects.csv")] == ["living"]
    assert said["notes"][0].startswith("No --metadata")
    content = json.loads((tmp_path / "m" / "prediction" / "prediction.json").read_text())
    assert (content["classes"], content["scans"][0]["objects"]) == (["ground", "living"], 1)


def test_info_says_what_was_measured(tmp_path):
    draw(tmp_path / "scans", TAXA, i40=(50, 50, 40), i3=(20, 300, 30))
    said = measured(tmp_path / "scans", tmp_path / "m")
    found = describe(tmp_path / "m")
    assert (found["kind"], found["objects"], found["tables"]) == ("measures", 2, ["objects.csv"])
    assert [found[name] for name in ("scans", "packages", "reports", "notes")] == [
        said[name] for name in ("scans", "packages", "reports", "notes")
    ]
    assert found["next"] == f"look at {tmp_path}/m/report_*.html, then import the packages into EcoTaxa"


@pytest.mark.parametrize(("dpi", "counts"), [(72, False), (96, False), (75, True), (300, True)])
def test_a_resolution_of_screens_is_none_and_can_be_given(tmp_path, dpi, counts):
    draw(tmp_path / "scans", i1=(50, 50, 40))
    path = tmp_path / "scans" / "a_scan.png"
    PillowImage.open(path).save(path, dpi=(dpi, dpi))
    words = ["measure", str(tmp_path / "scans"), "--out", str(tmp_path / "m"), "--dpi", "2400", "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    said = f"{path} says {dpi} dpi, as programs write that know of none: it counts as none\n"
    assert (said in result.stderr) == (not counts)
    (row,) = csv.DictReader((tmp_path / "m" / "objects.csv").open())
    side = 25.4 / (dpi if counts else 2400)
    assert float(row["area_mm2"]) == pytest.approx(int(row["area"]) * side**2, rel=1e-3)


def test_what_is_written_is_measured_again_like_any_prediction(tmp_path):
    draw(tmp_path / "scans", TAXA, i40=(50, 50, 40), i3=(20, 300, 30))
    measured(tmp_path / "scans", tmp_path / "m")
    measured(tmp_path / "m" / "prediction", tmp_path / "again")
    assert rows(tmp_path / "again" / "objects.csv") == rows(tmp_path / "m" / "objects.csv")


def test_several_ids_without_taxa_go_by_the_challenges_rule():
    living, table = classes_of({0, 1, 7, 8, 4000})
    assert (living, table[[0, 1, 7, 8, 4000]].tolist()) == ({"living": True}, [0, 0, 0, 1, 1])


def test_ids_that_are_passed_over_without_taxa_are_named(tmp_path):
    # Animals numbered one by one, as Cellpose and scikit-image do.
    draw(tmp_path / "scans", i1=(50, 50, 40), i7=(150, 50, 40), i8=(50, 200, 40), i9=(200, 200, 40))
    said = measured(tmp_path / "scans", tmp_path / "m")
    note = (
        "Not measured: the ids 1, 7 of the masks. Without a taxa.csv ids below 8 are not living, as in the ZooScan "
        "challenge; animals that are numbered one by one need one id for all, or a taxa.csv."
    )
    assert (said["objects"], note in said["notes"]) == (2, True)
    again = measured(tmp_path / "m" / "prediction", tmp_path / "again")
    assert note in again["notes"]


def test_nothing_is_said_to_be_passed_over_where_nothing_is(tmp_path):
    draw(tmp_path / "one", i1=(50, 50, 40))
    draw(tmp_path / "listed", TAXA, i40=(50, 50, 40), i3=(20, 300, 30))
    for folder in ("one", "listed"):
        notes = measured(tmp_path / folder, tmp_path / f"m_{folder}")["notes"]
        assert not [note for note in notes if "ids" in note]


def test_objects_of_several_taxa_that_touch_are_counted_and_named(tmp_path):
    # A Calanus with a larger fibre at its side, and an Oithona.
    squares = {"i40": (50, 50, 40), "i3": (40, 90, 60), "i900": (200, 200, 20)}
    draw(tmp_path / "scans", TAXA, **squares)
    said = measured(tmp_path / "scans", tmp_path / "m")
    found = [(row["taxon"], int(row["area"])) for row in rows(tmp_path / "m" / "objects.csv")]
    assert found == [("fibre", 40 * 40 + 60 * 60), ("Oithona", 400)]
    note = (
        "1 object of the masks is of several taxa that touch, and counts once, as the one of most of its pixels: a_1. "
        "Leave a pixel of ground between them."
    )
    assert note in said["notes"]
    draw(tmp_path / "apart", TAXA, **squares | {"i3": (40, 91, 60)})
    assert not [each for each in measured(tmp_path / "apart", tmp_path / "n")["notes"] if "touch" in each]


def test_ids_of_one_name_are_one_class():
    taxa = [Taxon(0, "ground", False), Taxon(5, "salp", True), Taxon(6, "salp", True), Taxon(7, "dust", False)]
    living, table = classes_of({0, 5, 6, 7}, taxa)
    assert (living, table[[5, 6, 7]].tolist()) == ({"salp": True, "dust": False}, [1, 1, 2])


def test_a_taxon_lives_or_not():
    taxa = [Taxon(8, "salp", True), Taxon(9, "salp", False)]
    assert classes_of({8}, taxa)[0] == {"salp": True}
    with pytest.raises(InputError) as caught:
        classes_of({8, 9}, taxa)
    assert str(caught.value) == (
        "The taxon salp is living by one line of taxa.csv, and not by another.\n"
        "Expected: each taxon living or not.\n"
        "Fix: correct taxa.csv."
    )


def test_ids_that_are_no_taxon_are_named(tmp_path):
    (tmp_path / "taxa.csv").write_text(TAXA)
    with pytest.raises(InputError) as caught:
        classes_of({0, 41, 900}, read_table(tmp_path / "taxa.csv"))
    assert str(caught.value) == (
        "The masks hold the id 41, which taxa.csv does not.\n"
        "Expected: ids of taxa.csv, at most 255 taxa.\n"
        "Fix: correct taxa.csv or the masks."
    )


def test_more_taxa_than_a_byte_holds_are_refused():
    taxa = [Taxon(each, f"taxon {each}", True) for each in range(1, 300)]
    assert len(classes_of(set(range(256)), taxa)[0]) == 255
    with pytest.raises(InputError, match="The masks hold 256 taxa"):
        classes_of(set(range(257)), taxa)


def test_what_is_wrong_with_their_names_is_said(tmp_path):
    draw(tmp_path / "scans", i40=(50, 50, 40))
    (tmp_path / "scans" / "b_mask.png").write_bytes((tmp_path / "scans" / "a_mask.png").read_bytes())
    said = measured(tmp_path / "scans", tmp_path / "m", code=3)
    assert said["error"] == f"{tmp_path / 'scans' / 'b_mask.png'} has no scan."


def test_scans_without_masks_and_other_folders_are_none(tmp_path):
    draw(tmp_path / "scans", i40=(50, 50, 40))
    (tmp_path / "scans" / "a_mask.png").unlink()
    assert find_masked(tmp_path / "scans") is None
    assert find_masked(tmp_path / "nowhere") is None
    assert find_masked(tmp_path) is None
    said = measured(tmp_path, tmp_path / "m", code=4)
    assert said["fix"] == "give a folder that plankton predict wrote."
    assert not (tmp_path / "m").exists()
