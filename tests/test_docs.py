"""The documentation says what the program does."""

import re
import sys
from pathlib import Path

import pytest

from plankton_keras import schema
from plankton_keras.cli import main
from plankton_keras.data.codec import FEATURES, VIGNETTE_FEATURES
from plankton_keras.files import SEAL

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from write_help import with_help  # noqa: E402

PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("[!.]*/README.md")),
]


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_a_page_with_its_help_as_it_is(command):
    page = (ROOT / "docs" / f"{command}.md").read_text()
    assert page == with_help(page, command)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_flags_in_the_pages_exist(path):
    known = {option for command in main.commands.values() for each in command.params for option in each.opts}
    known |= {"--help", "--version"}
    for line in re.findall(r"plankton ([a-z-]+)((?: [^`\n]*)?)", path.read_text()):
        command, words = line
        if command in main.commands:
            flags = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", words.split("|")[0].split(";")[0]))
            own = {option for each in main.commands[command].params for option in each.opts} | {"--help"}
            assert flags <= own | (known if "plankton" in words else set()), line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_hold(path):
    for target in re.findall(r"\]\(([\w./-]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_tests_that_guards_name_exist():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "guards.md").read_text())
    assert len(named) > 20
    lost = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()]
    assert lost == []


def test_the_tests_that_the_table_of_what_is_repeatable_names_exist():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "train.md").read_text())
    assert len(named) > 5
    assert [name for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()] == []


def test_the_licence_of_every_package_is_listed():
    page = (ROOT / "docs" / "licences.md").read_text()
    listed = {name for row in re.findall(r"^\| .+? \| (.+) \|$", page, re.MULTILINE) for name in row.split(", ")}
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert listed - {"packages", "---"} == pinned


def test_the_record_format_is_described_field_by_field():
    page = (ROOT / "tfrecords" / "README.md").read_text()
    assert f"version {schema.FORMAT_VERSION}" in page.splitlines()[0]
    assert set(re.findall(r"^\| `(\w+)` \| (?:bytes|int64)", page, re.MULTILINE)) == {*FEATURES, *VIGNETTE_FEATURES}
    described = set(re.findall(r"^\| `(\w+)` \| (?!bytes|int64)", page, re.MULTILINE))
    assert described == {*schema.Manifest.__dataclass_fields__, SEAL}


def test_the_changelog_names_this_version():
    from plankton_keras import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
