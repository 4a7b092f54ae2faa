"""files: whole or not at all, refused or claimed, and digests."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from plankton_keras.errors import ArtefactError, InputError
from plankton_keras.files import claim_folder, read_json, scratch, sha256, whole_file, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_halfway(target, kind):
    with whole_file(target) as partial:
        partial.write_text("half")
        raise kind("halfway")


def test_a_file_that_the_disk_has_no_room_for_is_not_begun(tmp_path):
    with (
        pytest.raises(OSError, match="No space left on device") as caught,
        whole_file(tmp_path / "a", 2**62) as partial,
    ):
        partial.write_text("begun")
    assert caught.value.filename == str(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_file_appears_under_its_name_only_when_the_block_has_ended(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with whole_file(target) as partial:
        partial.write_text("done")
        assert names(target.parent) == [".partial-a.txt"]
    assert names(target.parent) == ["a.txt"]
    assert target.read_text() == "done"


def test_the_partial_keeps_the_suffix_by_which_encoders_choose_the_format(tmp_path):
    with whole_file(tmp_path / "scan_mask.png") as partial:
        partial.touch()
        assert partial.suffix == ".png"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_after_an_exception_nothing_appears_and_no_partial_stays(tmp_path, kind):
    with pytest.raises(kind):
        fail_halfway(tmp_path / "a.txt", kind)
    assert names(tmp_path) == []


def test_after_an_exception_the_earlier_file_is_still_there(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("earlier")
    with pytest.raises(ValueError, match="halfway"):
        fail_halfway(target, ValueError)
    assert names(tmp_path) == ["a.txt"]
    assert target.read_text() == "earlier"


def test_a_partial_that_a_killed_process_left_is_replaced_by_the_next_write(tmp_path):
    (tmp_path / ".partial-a.txt").write_text("left by a kill, and longer")
    with whole_file(str(tmp_path / "a.txt")) as partial:
        partial.write_text("done")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "done"


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_earlier_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("earlier")
    with pytest.raises(FileNotFoundError), whole_file(target):
        pass
    assert target.read_text() == "earlier"


def test_json_is_read_as_it_was_written_and_paths_become_strings(tmp_path):
    write_json(tmp_path / "a.json", {"scan": Path("scans/ä.tif"), "counts": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json", fix="") == {"scan": "scans/ä.tif", "counts": [1, 2.5, None]}
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_json_that_cannot_be_encoded_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {("no", "key"): 1})
    assert names(tmp_path) == []


def test_a_missing_json_file_is_named_with_its_folder_and_the_fix(tmp_path):
    with pytest.raises(ArtefactError) as caught:
        read_json(tmp_path / "manifest.json", fix="run it again.")
    assert str(caught.value) == (
        f"{tmp_path}/manifest.json does not exist.\nExpected: a file manifest.json in {tmp_path}.\nFix: run it again."
    )


def test_a_cut_json_file_is_damaged(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(ArtefactError) as caught:
        read_json(tmp_path / "a.json", fix="run it again.")
    assert str(caught.value) == (
        f"{tmp_path}/a.json is damaged: Expecting value: line 1 column 7 (char 6).\n"
        "Expected: a whole JSON file.\nFix: run it again."
    )


def test_a_json_file_that_is_no_text_is_damaged(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtefactError, match=r"a\.json is damaged: 'utf-8' codec can't decode byte 0xff"):
        read_json(tmp_path / "a.json", fix="")


def test_sha256_is_the_digest_of_the_content_whatever_its_length(tmp_path):
    # NIST's own example: SHA-256("abc") begins with ba7816bf and ends with f20015ad.
    (tmp_path / "abc").write_bytes(b"abc")
    digest = sha256(tmp_path / "abc")
    assert (len(digest), digest[:8], digest[-8:]) == (64, "ba7816bf", "f20015ad")
    content = os.urandom(3_000_001)
    (tmp_path / "large").write_bytes(content)
    assert sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()


def test_scratch_starts_with_zeros_and_keeps_what_is_written_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch(300, 7)
    assert not array.any()
    array[299, 6] = 255
    assert array.shape == (300, 7)
    assert array.dtype == np.uint8
    assert np.argwhere(array).tolist() == [[299, 6]]
    assert names(tmp_path) == []


def test_a_free_path_is_claimed_with_its_parents(tmp_path):
    out = claim_folder(str(tmp_path / "a" / "b"))
    assert out == tmp_path / "a" / "b"
    assert out.is_dir()


def test_an_empty_folder_is_claimed_as_it_is(tmp_path):
    assert claim_folder(tmp_path) == tmp_path


def test_a_folder_with_content_is_refused_and_kept(tmp_path):
    (tmp_path / "kept").touch()
    for resume, words in ((False, "add --resume to complete it, --overwrite"), (None, "add --overwrite")):
        with pytest.raises(ArtefactError) as caught:
            claim_folder(tmp_path, resume=resume)
        assert str(caught.value) == (
            f"{tmp_path} already has content.\nExpected: a new folder.\n"
            f"Fix: {words} to replace it, or choose another --out."
        )
    assert names(tmp_path) == ["kept"]


def test_overwrite_empties_the_folder_with_its_subfolders(tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "old").touch()
    assert names(claim_folder(out, overwrite=True)) == []


def test_resume_keeps_the_content(tmp_path):
    (tmp_path / "kept").touch()
    assert names(claim_folder(tmp_path, resume=True)) == ["kept"]


def test_resume_wins_over_overwrite_so_that_nothing_is_lost(tmp_path):
    (tmp_path / "kept").touch()
    assert names(claim_folder(tmp_path, overwrite=True, resume=True)) == ["kept"]


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(tmp_path, flags):
    target = tmp_path / "out"
    target.write_text("kept")
    with pytest.raises(ArtefactError) as caught:
        claim_folder(target, **flags)
    assert str(caught.value) == (
        f"{target} is a file.\nExpected: a folder, or a path that is free.\nFix: choose another --out."
    )
    assert target.read_text() == "kept"


@pytest.mark.parametrize("out", ["link", "link/deeper/out"])
def test_a_link_to_nothing_is_no_folder_to_write_to(tmp_path, out):
    nothing = tmp_path / "not" / "there"
    (tmp_path / "link").symlink_to(nothing)
    with pytest.raises(ArtefactError) as caught:
        claim_folder(tmp_path / out)
    assert str(caught.value) == (
        f"{tmp_path / 'link'} is a link to {nothing}, which is not there.\n"
        "Expected: a folder, or a path that is free.\nFix: choose another --out."
    )


def test_a_folder_may_be_a_link_to_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert claim_folder(tmp_path / "link") == tmp_path / "link"


def test_what_cannot_be_read_is_told_from_what_cannot_be_written(tmp_path):
    # Reading it from its start is an input/output error.
    (tmp_path / "bad").symlink_to("/proc/self/mem")
    with pytest.raises(InputError) as caught:
        sha256(tmp_path / "bad")
    assert str(caught.value) == (
        f"{tmp_path / 'bad'} cannot be read: Input/output error.\n"
        "Expected: a file that can be read.\nFix: check the disk, and the right to read it."
    )
