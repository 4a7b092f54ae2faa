"""Versions that come, are broken, are copied slowly, or are written anew, with a fake in place of TensorFlow."""

import logging
import shutil

import pytest
from patch_service import version, write_version

from plankton_keras.errors import ArtefactError
from plankton_keras.serve.versions import Models


class Loader:
    """Loads fakes and notes which."""

    def __init__(self):
        self.loaded, self.broken = [], {}

    def __call__(self, folder):
        number = int(folder.name)
        self.loaded.append(number)
        if number in self.broken:
            raise self.broken[number]
        return version(number)


@pytest.fixture
def told():
    return []


@pytest.fixture
def models(tmp_path, told):
    """Version 1 is served; looks are taken by hand."""
    write_version(tmp_path, 1)
    made = Models(tmp_path, load=Loader(), told=lambda *words: told.append(words))
    made.start(seconds=3600)
    yield made
    made.close()


def test_the_newest_version_is_served(tmp_path):
    for number in (2, 10, 9):
        write_version(tmp_path, number)
    (tmp_path / "11").mkdir()
    (tmp_path / ".partial-12").mkdir()
    models = Models(tmp_path, load=Loader())
    assert models.current() is None
    models.start(seconds=3600)
    models.close()
    assert models.current().number == 10
    assert models.states() == {10: ("AVAILABLE", None)}


def test_a_new_version_is_taken_up_once_it_no_longer_changes(tmp_path, models, told):
    before = models.current()
    folder = write_version(tmp_path, 2)
    models.look()
    (folder / "more").write_text("still being copied")
    models.look()
    assert models.current() is before
    models.look()
    assert models.current().number == 2
    assert models.states() == {1: ("END", None), 2: ("AVAILABLE", None)}
    models.look()
    assert models._load.loaded == [1, 2]
    assert told == [(1, None), (2, None)]
    # Who still computes with the first one can.
    assert before.signatures


def test_a_broken_version_is_told_and_the_one_before_goes_on(tmp_path, models, told, caplog):
    models._load.broken[2] = ArtefactError("2 cannot be read: nonsense.", "a whole SavedModel.", "export again.")
    write_version(tmp_path, 2)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            models.look()
    assert models.current().number == 1
    assert models._load.loaded == [1, 2]
    assert models.states() == {1: ("AVAILABLE", None), 2: ("END", "2 cannot be read: nonsense.")}
    assert told[1:] == [(2, "2 cannot be read: nonsense.")]
    assert "Version 2 is not served: 2 cannot be read: nonsense. Expected: a whole SavedModel." in caplog.text
    # Mended, it is tried again.
    del models._load.broken[2]
    (tmp_path / "2" / "saved_model.pb").write_text("whole")
    models.look()
    models.look()
    assert models.current().number == 2


def test_whatever_a_version_raises_the_one_before_goes_on(tmp_path, models):
    models._load.broken[2] = RuntimeError("what?")
    write_version(tmp_path, 2)
    models.look()
    models.look()
    assert models.current().number == 1
    assert models.states()[2] == ("END", "RuntimeError: what?")


def test_a_version_that_is_written_anew_is_loaded_anew(tmp_path, models):
    shutil.rmtree(tmp_path / "1")
    models.look()
    assert models.current().number == 1
    write_version(tmp_path, 1, "another model")
    models.look()
    models.look()
    assert models._load.loaded == [1, 1]
    assert models.states() == {1: ("AVAILABLE", None)}


def test_a_version_that_is_taken_away_gives_way_to_the_one_before(tmp_path, models):
    write_version(tmp_path, 2)
    models.look()
    models.look()
    shutil.rmtree(tmp_path / "2")
    models.look()
    models.look()
    assert models.current().number == 1
    assert models.states() == {1: ("AVAILABLE", None), 2: ("END", None)}


def test_one_version_alone_can_be_served(tmp_path):
    models = Models(write_version(tmp_path, 3), load=Loader())
    models.start(seconds=3600)
    models.look()
    models.close()
    assert models.current().number == 3


def test_what_is_no_export_is_refused(tmp_path):
    with pytest.raises(ArtefactError) as caught:
        Models(tmp_path / "none").start()
    assert str(caught.value) == (
        f"{tmp_path / 'none'} is no export.\n"
        "Expected: a folder with 1/saved_model.pb.\n"
        f"Fix: plankton export RUN --out {tmp_path / 'none'}"
    )
