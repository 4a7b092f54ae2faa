"""taxa: what the ids of a mask mean, and the class that each becomes."""

import json

import pytest

from plankton_keras.errors import InputError
from plankton_keras.taxa import (
    Target,
    Taxon,
    color_of,
    file_target,
    find_taxa,
    living_target,
    read_taxa,
    taxa_target,
)

TAXA = [
    Taxon(0, "ground", False),
    Taxon(12, "Oithona", True),
    Taxon(1, "detritus", False),
    Taxon(8, "Calanus", True),
    Taxon(9, "Sagitta", True),
]


@pytest.fixture
def table(tmp_path):
    """Writes a table and gives its path."""

    def write(text, name="taxa.csv", encoding="utf-8"):
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


def text_of(call, path):
    with pytest.raises(InputError) as caught:
        call(path)
    return str(caught.value)


def test_without_taxa_ids_from_living_from_on_are_living():
    target = living_target(living_from=5)
    assert target.names == ("non-living", "living")
    assert [target.class_of(mask_id) for mask_id in (0, 1, 4, 5, 65535)] == [0, 0, 0, 1, 1]


def test_the_ground_is_not_living_even_from_zero_on():
    target = living_target(living_from=0)
    assert [target.class_of(mask_id) for mask_id in (0, 1)] == [0, 1]


def test_with_taxa_the_table_says_what_lives_and_other_ids_have_no_class():
    target = living_target(TAXA)
    assert [target.class_of(mask_id) for mask_id in (0, 1, 8, 9, 12, 2, 13)] == [0, 0, 1, 1, 1, None, None]


def test_the_ground_needs_no_line_in_the_table():
    assert living_target([Taxon(3, "Calanus", True)]).class_of(0) == 0


def test_taxa_become_classes_in_the_order_of_their_ids_and_rare_ones_become_other_living():
    target = taxa_target(TAXA, objects={1: 500, 8: 20, 9: 19, 12: 21}, min_objects=20)
    assert target.names == ("non-living", "Calanus", "Oithona", "other living")
    assert {mask_id: target.class_of(mask_id) for mask_id in (0, 1, 8, 9, 12, 77)} == {
        0: 0,
        1: 0,
        8: 1,
        9: 3,
        12: 2,
        77: None,
    }


def test_ids_of_one_name_are_one_taxon_whose_objects_add_up():
    taxa = [Taxon(8, "Calanus", True), Taxon(9, "Oithona", True), Taxon(12, "Calanus", True)]
    for objects in ({8: 19, 12: 3}, {8: 12, 12: 12}, {12: 20, 9: 19}):
        target = taxa_target(taxa, objects, min_objects=20)
        assert target.names == ("non-living", "Calanus", "other living")
        assert [target.class_of(mask_id) for mask_id in (8, 9, 12)] == [1, 2, 1]


def test_taxa_without_any_object_are_other_living():
    target = taxa_target(TAXA, objects={}, min_objects=1)
    assert target.names == ("non-living", "other living")
    assert [target.class_of(mask_id) for mask_id in (8, 9, 12)] == [1, 1, 1]


def test_254_common_taxa_are_taken_and_one_more_is_refused():
    taxa = [Taxon(8 + index, f"taxon {index}", True) for index in range(255)]
    target = taxa_target(taxa, objects=dict.fromkeys(range(8, 262), 30))
    assert (len(target.names), target.class_of(261), target.class_of(262)) == (256, 254, 255)
    with pytest.raises(InputError) as caught:
        taxa_target(taxa, objects=dict.fromkeys(range(8, 263), 30))
    assert str(caught.value) == (
        "255 taxa have 20 objects or more.\nExpected: 254 at most: a class index is a byte.\n"
        "Fix: choose a larger --min-objects, or give the classes as --target FILE.csv."
    )


def test_classes_of_a_file_come_in_its_order_with_the_ground_first(table):
    target = file_target(table("id,class\n8,copepod\n0,nothing\n12,copepod\n9,arrow worm\n", "mine.csv"))
    assert target.names == ("nothing", "copepod", "arrow worm")
    assert [target.class_of(mask_id) for mask_id in (0, 8, 12, 9, 1)] == [0, 1, 1, 2, None]


def test_a_file_says_which_classes_do_not_live(table):
    target = file_target(table("id,class,living\n0,ground,0\n8,copepod,1\n3,detritus,0\n4,detritus,0\n", "mine.csv"))
    assert target.living == {"copepod": True, "detritus": False}
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target
    plain = file_target(table("id,class\n0,ground\n8,copepod\n3,detritus\n", "mine.csv"))
    assert plain.living == {"copepod": True, "detritus": True}
    path = table("id,class,living\n8,copepod,1\n9,copepod,0\n", "mine.csv")
    assert text_of(file_target, path) == (
        f"{path}, line 3: living is 0 of 'copepod', unlike above.\nExpected: one value for a class.\n"
        "Fix: correct one of the lines, or make two classes."
    )
    path = table("id,class,living\n8,copepod,\n", "mine.csv")
    assert text_of(file_target, path).startswith(f"{path}, line 2: living is ''.\n")
    lost = path.with_name("lost.csv")
    assert text_of(file_target, lost) == (
        f"{lost} does not exist.\nExpected: a CSV file in UTF-8.\nFix: check the path."
    )


def test_a_file_without_the_ground_gets_non_living_for_it(table):
    target = file_target(table("id,class\n8,copepod\n1,non-living\n", "mine.csv"))
    assert target.names == ("non-living", "copepod")
    assert [target.class_of(mask_id) for mask_id in (0, 1, 8)] == [0, 0, 1]


@pytest.mark.parametrize(
    "target", [living_target(), living_target(TAXA), taxa_target(TAXA, {8: 90}), Target(("a", "b"), {3: 1, 0: 0})]
)
def test_a_target_is_the_same_after_json(target):
    assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target


def test_a_table_is_read_in_its_order_with_spaces_quotes_and_further_columns(table):
    path = table('\ufeffname,id,living,note\n"Calanus, large", 65535 , 1 ,x\n détritus ,1,0,\n')
    assert read_taxa(path) == [Taxon(65535, "Calanus, large", True), Taxon(1, "détritus", False)]


def test_a_name_keeps_the_separators_that_end_a_line_elsewhere(table):
    path = table('id,name,living\n1,"a\u2028b\u0085c",1\n2,"two\nlines",0\n')
    assert [taxon.name for taxon in read_taxa(path)] == ["a\u2028b\u0085c", "two\nlines"]


def test_a_table_with_a_header_alone_has_no_taxa(table):
    assert read_taxa(table("id,name,living\n")) == []


def test_a_missing_column_is_named_with_those_that_are_there(table):
    path = table("id,name,live\n1,detritus,0\n")
    assert text_of(read_taxa, path) == (
        f"{path} has no column 'living'; it has id, name, live. Did you mean \"live\"?\n"
        "Expected: the columns id,name,living.\nFix: add the column to taxa.csv."
    )


def test_an_empty_table_has_nothing(table):
    path = table("")
    assert text_of(read_taxa, path) == (
        f"{path} has no column 'id'; it has nothing.\n"
        "Expected: the columns id,name,living.\nFix: add the column to taxa.csv."
    )


def test_a_missing_column_of_a_file_of_classes_names_that_file(table):
    path = table("id,name\n1,detritus\n", "mine.csv")
    assert text_of(file_target, path) == (
        f"{path} has no column 'class'; it has id, name.\n"
        f"Expected: the columns id,class.\nFix: add the column to {path}."
    )


@pytest.mark.parametrize("word", ["", "-1", "1.0", "65536", "eight", "0x8"])
def test_a_word_that_is_no_id_is_refused_with_its_line(table, word):
    path = table(f"id,name,living\n1,detritus,0\n{word},Calanus,1\n")
    assert text_of(read_taxa, path) == (
        f"{path}, line 3: the id is {word!r}.\nExpected: a whole number from 0 to 65535.\nFix: correct the line."
    )


def test_an_id_that_stands_twice_is_refused_with_both_lines(table):
    path = table("id,name,living\n8,Calanus,1\n1,detritus,0\n08,Oithona,1\n")
    assert text_of(read_taxa, path) == (
        f"{path}, line 4: the id 08 stands in line 2 already.\nExpected: each id once.\n"
        "Fix: remove one of the two lines."
    )


@pytest.mark.parametrize(("word", "shown"), [("2", "'2'"), ("yes", "'yes'"), ("", "''")])
def test_living_is_zero_or_one(table, word, shown):
    path = table(f"id,name,living\n8,Calanus,{word}\n")
    assert text_of(read_taxa, path) == (
        f"{path}, line 2: living is {shown}.\nExpected: 0 or 1.\nFix: say 1 for plankton, 0 for all else."
    )


def test_a_taxon_has_a_name(table):
    path = table("id,name,living\n0,ground,0\n8, ,1\n")
    assert (
        text_of(read_taxa, path) == f"{path}, line 3: the taxon has no name.\nExpected: a name.\nFix: correct the line."
    )


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (living_target([Taxon(3, "detritus", False), Taxon(8, "copepod", True)]), None),
        (living_target([Taxon(3, "jelly", True), Taxon(8, "detritus", False)]), 3),
        (taxa_target([Taxon(8, "copepod", True), Taxon(9, "salp", True)], {8: 100}), None),
        (Target(("ground", "all"), {0: 0, 8: 1, 65535: 0}), 65535),
    ],
)
def test_targets_that_look_for_other_ids_conflict(other, found):
    assert living_target().conflict(other) == other.conflict(living_target()) == found


def test_a_line_that_ends_too_early_has_no_living(table):
    path = table("id,name,living\n8,Calanus\n")
    assert text_of(read_taxa, path).startswith(f"{path}, line 2: living is ''.\n")


def test_a_file_of_one_class_is_refused(table):
    path = table("id,class\n0,all\n8,all\n", "mine.csv")
    assert text_of(file_target, path) == (
        f"{path} names 1 classes.\nExpected: 2 to 256 classes.\nFix: name another class."
    )


def test_a_file_of_256_classes_is_taken_and_of_257_refused(table):
    lines = [f"{index},class {index}\n" for index in range(257)]
    path = table("id,class\n" + "".join(lines[:256]), "mine.csv")
    assert file_target(path).class_of(255) == 255
    path = table("id,class\n" + "".join(lines), "mine.csv")
    assert text_of(file_target, path) == (
        f"{path} names 257 classes.\nExpected: 2 to 256 classes.\nFix: give several ids one class."
    )


def test_the_table_is_found_beside_the_scans_then_above_them(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    assert find_taxa(scans) is None
    (tmp_path / "taxa.csv").touch()
    assert find_taxa(scans) == (tmp_path / "taxa.csv").resolve()
    (scans / "taxa.csv").touch()
    assert find_taxa(scans) == (scans / "taxa.csv").resolve()


def test_the_table_above_is_found_for_the_current_folder_too(tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    (tmp_path / "taxa.csv").touch()
    monkeypatch.chdir(tmp_path / "scans")
    assert find_taxa(".") == (tmp_path / "taxa.csv").resolve()


def test_class_0_is_gray_and_the_first_seven_others_differ_before_colours_repeat():
    colours = [color_of(index) for index in range(9)]
    assert colours[0] == (0x99, 0x99, 0x99)
    assert len(set(colours[:8])) == 8
    assert colours[8] == colours[1]
