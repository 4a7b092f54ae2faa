"""errors: three lines for a user, an exit code for a script."""

import errno

import pytest

from plankton_keras.errors import ArtefactError, InputError, PlanktonError, SettingError, did_you_mean, in_words


def test_an_error_reads_as_three_lines_what_expected_and_fix():
    error = PlanktonError("a.pgm is empty.", expected="a netpbm P5 header.", fix="copy the scan again.")
    assert str(error) == "a.pgm is empty.\nExpected: a netpbm P5 header.\nFix: copy the scan again."


def test_an_error_keeps_its_three_parts_for_machine_readable_output():
    error = InputError("what", "expected", "fix")
    assert (error.what, error.expected, error.fix) == ("what", "expected", "fix")


@pytest.mark.parametrize(("kind", "code"), [(PlanktonError, 1), (SettingError, 2), (InputError, 3), (ArtefactError, 4)])
def test_each_kind_has_its_own_exit_code_and_is_caught_as_a_plankton_error(kind, code):
    with pytest.raises(PlanktonError) as caught:
        raise kind("what", "expected", "fix")
    assert caught.value.exit_code == code


def test_a_full_disk_is_said_in_words_when_tensorflow_meets_it():
    error = RuntimeError(
        "{{node WriteSummary}} run/logs/events.vm; No space left on device\n\tFailed to flush 11 events"
    )
    assert in_words(error).what == "run/logs/events.vm cannot be written: No space left on device."
    assert in_words(RuntimeError("No way")) is None


def test_what_keeps_from_reading_as_well_is_not_worded_as_writing():
    error = PermissionError(errno.EACCES, "Permission denied", "rec/manifest.json")
    assert in_words(error).parts == (
        "rec/manifest.json cannot be read or written: Permission denied.",
        "a disk that works, and the right to read and write there.",
        "check both, or choose another place; then give the command again.",
    )


def test_did_you_mean_names_the_closest_option_and_only_that():
    # "unte" differs from "unet" by one swap; the other name shares only four of its nineteen letters.
    assert did_you_mean("unte", ["efficientnet_b0_unet", "unet"]) == ' Did you mean "unet"?'


@pytest.mark.parametrize("options", [[], ["light", "strong"]])
def test_did_you_mean_says_nothing_where_nothing_is_close(options):
    assert did_you_mean("zzz", options) == ""


def test_did_you_mean_takes_words_that_are_not_text():
    assert did_you_mean(1024, [512, 1025]) == ' Did you mean "1025"?'
