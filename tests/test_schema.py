"""schema: names are built and read back, and so is the manifest."""

import dataclasses
import json

import pytest

from plankton_keras import schema
from plankton_keras.errors import ArtefactError
from plankton_keras.schema import FORMAT_VERSION, Manifest, Shard, Source, check_version, shard_name

MANIFEST = Manifest(
    patch_size=256,
    classes=("non-living", "living"),
    target={"names": ["non-living", "living"], "classes": {"0": 0}, "rest": 1, "first_rest": 8},
    class_share={"non-living": 0.96, "living": 0.04},
    splits={
        "train": (
            Shard("train-00000-of-00002.tfrecord", 7, 900, "a" * 64),
            Shard("train-00001-of-00002.tfrecord", 5, 800, "b" * 64),
        ),
        "val": (Shard("val-00000-of-00001.tfrecord", 3, 400, "c" * 64),),
    },
    sources=(
        Source("scan_1", "train", 1000, 2000, 2400.0, "d" * 64, "e" * 64),
        Source("scan_2", "val", 500, 600, None, "f" * 64, "0" * 64),
    ),
    settings={"patch_size": 256, "seed": 0},
)


def stored():
    return json.loads(json.dumps(MANIFEST.to_json()))


def test_names_are_those_that_tfrecords_readme_tells_others():
    assert (schema.MANIFEST, FORMAT_VERSION, schema.SPLITS) == ("manifest.json", "1.2", ("train", "val", "test"))
    fields = (schema.IMAGE, schema.MASK, schema.SCAN, schema.TOP, schema.LEFT, schema.LABEL, schema.SIDE)
    assert fields == ("image", "mask", "scan", "top", "left", "label", "side")
    assert (schema.PATCHES, schema.VIGNETTES) == ("patches", "vignettes")


def test_shards_of_candidates_have_names_too():
    assert shard_name("val-candidates", 3, 16) == "val-candidates-00003-of-00016.tfrecord"


def test_shard_names_sort_in_the_order_of_their_index():
    names = [shard_name("train", index, 1200) for index in (1, 2, 10, 100, 1000)]
    assert names == sorted(names)
    assert names[0] == "train-00001-of-01200.tfrecord"


def test_the_manifest_is_the_same_after_json():
    assert Manifest.from_json(stored(), "manifest.json") == MANIFEST


def test_the_patches_of_a_split_are_the_sum_over_its_shards():
    # 7 + 5; a split that is not there has none.
    assert [MANIFEST.count(split) for split in ("train", "val", "test")] == [12, 3, 0]


def test_candidates_are_counted_apart_from_the_patches_they_stand_beside():
    candidates = {"train": (Shard("train-candidates-00000-of-00001.tfrecord", 30, 70, "d" * 64),)}
    manifest = dataclasses.replace(MANIFEST, candidates=candidates, candidate_share=0.9)
    assert manifest.shards("train", "vignettes") == candidates["train"]
    assert [manifest.count(split, "vignettes") for split in ("train", "val")] == [30, 0]
    assert [manifest.count("train", kind) for kind in (None, "patches", "others")] == [12, 12, 0]
    assert (manifest.shards("test"), manifest.shards("val", "vignettes"), manifest.shards("val", "others")) == ((),) * 3
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())), "m")
    assert again == manifest
    assert again.to_json()["candidates"]["train"][0]["patches"] == 30


def test_in_a_folder_of_vignettes_these_are_what_the_splits_hold():
    manifest = dataclasses.replace(MANIFEST, kind="vignettes")
    assert [manifest.count("train", kind) for kind in (None, "vignettes", "patches")] == [12, 12, 0]


def test_what_a_manifest_of_version_1_0_lacks_has_a_default():
    values = stored()
    for word in ("kind", "candidates", "candidate_share"):
        del values[word]
    for source in values["sources"]:
        del source["look"]
    assert Manifest.from_json({**values, "version": "1.0"}, "m") == dataclasses.replace(MANIFEST, version="1.0")
    assert (MANIFEST.kind, MANIFEST.candidates, MANIFEST.candidate_share, MANIFEST.version) == (
        "patches",
        {},
        None,
        "1.2",
    )
    assert [source.look for source in MANIFEST.sources] == [{}, {}]


@pytest.mark.parametrize("values", [None, [], "1.2", 1])
def test_what_is_no_dictionary_has_no_version(values):
    with pytest.raises(ArtefactError) as caught:
        Manifest.from_json(values, "m.json")
    assert str(caught.value).startswith("m.json has format version None.\n")


def test_another_minor_version_is_read_and_kept():
    assert Manifest.from_json({**stored(), "version": "1.9"}, "m") == dataclasses.replace(MANIFEST, version="1.9")


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", None])
def test_another_major_version_is_refused_with_the_command_that_rewrites(version):
    with pytest.raises(ArtefactError) as caught:
        Manifest.from_json({**stored(), "version": version}, "records/manifest.json")
    assert str(caught.value) == (
        f"records/manifest.json has format version {version}.\n"
        "Expected: version 1.x, which this plankton_keras reads.\n"
        "Fix: write it anew: plankton make-tfrecords SCANS --out DIR --overwrite"
    )


def test_the_version_is_looked_at_before_the_fields_which_another_version_may_lack():
    with pytest.raises(ArtefactError, match=r"has format version 2\.0"):
        Manifest.from_json({"version": "2.0"}, "m")


def test_check_version_takes_the_command_of_its_caller():
    check_version("1.7", "run", "plankton train")
    with pytest.raises(ArtefactError, match=r"Fix: write it anew: plankton train$"):
        check_version("3.0", "run", "plankton train")


REWRITE = "Expected: what make-tfrecords wrote.\nFix: run plankton make-tfrecords SCANS --out DIR --overwrite."


@pytest.mark.parametrize("field", ["classes", "splits", "sources"])
def test_a_missing_list_is_named(field):
    values = stored()
    del values[field]
    with pytest.raises(ArtefactError) as caught:
        Manifest.from_json(values, "m.json")
    assert str(caught.value) == f"m.json is no manifest of version {FORMAT_VERSION}: '{field}'.\n{REWRITE}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch_size", True),
        ("patch_size", -1),
        ("patch_size", 64.0),
        ("patch_size", "64"),
        ("patch_size", None),
        ("candidate_share", float("inf")),
        ("candidate_share", float("nan")),
        ("candidate_share", -0.1),
        ("candidate_share", False),
        ("splits", []),
    ],
)
def test_a_value_of_another_type_or_below_0_is_named(field, value):
    with pytest.raises(ArtefactError) as caught:
        Manifest.from_json({**stored(), field: value}, "m.json")
    said = "'list' object has no attribute 'items'" if field == "splits" else f"{field} is {value!r}"
    assert str(caught.value) == f"m.json is no manifest of version {FORMAT_VERSION}: {said}.\n{REWRITE}"


@pytest.mark.parametrize("share", [0, 0.0, 1, 0.5, None])
def test_a_share_is_any_number_from_0_or_missing(share):
    assert Manifest.from_json({**stored(), "candidate_share": share}, "m").candidate_share == share


def test_a_missing_value_is_named():
    values = stored()
    del values["patch_size"]
    with pytest.raises(ArtefactError) as caught:
        Manifest.from_json(values, "m.json")
    assert str(caught.value) == (
        f"m.json is no manifest of version {FORMAT_VERSION}: Manifest.__init__() missing 1 required positional "
        f"argument: 'patch_size'.\n{REWRITE}"
    )


@pytest.mark.parametrize(
    ("place", "word"),
    [(("splits", "train"), "sha256"), (("sources",), "height")],
)
def test_a_missing_field_of_a_shard_or_a_scan_is_named(place, word):
    values = stored()
    rows = values
    for key in place:
        rows = rows[key]
    del rows[0][word]
    with pytest.raises(ArtefactError, match=f"missing 1 required positional argument: '{word}'"):
        Manifest.from_json(values, "m.json")


def test_a_field_of_nobody_is_refused():
    with pytest.raises(ArtefactError, match="unexpected keyword argument 'colour'"):
        Manifest.from_json({**stored(), "colour": 1}, "m.json")


def test_splits_of_the_wrong_kind_are_refused():
    with pytest.raises(ArtefactError, match=f"is no manifest of version {FORMAT_VERSION}"):
        Manifest.from_json({**stored(), "splits": []}, "m.json")
