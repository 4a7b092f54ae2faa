"""The errors that a user can cause, each with what was found, what was expected and how to fix it.

    PlanktonError            1  something unexpected that still has a plain message
    |-- SettingError         2  a setting out of range, or words that do not go together
    |-- InputError           3  a scan, mask or vignette is bad
    `-- ArtefactError        4  records, a run, an export or a prediction folder is bad

The number is the exit code of the command line.
"""

import difflib


class PlanktonError(Exception):
    """An error that ends a command with three lines instead of a traceback.

    Args:
        what: What was found, with the name of the file.
        expected: What was expected there.
        fix: What to do, a command where one can help.

    Example:

    >>> print(InputError("a.pgm is empty.", expected="a netpbm P5 header.", fix="copy the scan again."))
    a.pgm is empty.
    Expected: a netpbm P5 header.
    Fix: copy the scan again.
    """

    exit_code = 1

    def __init__(self, what, expected, fix):
        super().__init__(f"{what}\nExpected: {expected}\nFix: {fix}")
        self.what, self.expected, self.fix = what, expected, fix


class SettingError(PlanktonError):
    """A setting is out of range, or settings do not go together."""

    exit_code = 2


class InputError(PlanktonError):
    """A scan, a mask, a vignette or a table beside them is bad."""

    exit_code = 3


class ArtefactError(PlanktonError):
    """Something that plankton_keras wrote is missing, damaged or in the way."""

    exit_code = 4


def did_you_mean(word, options):
    """Names the closest of the options.

    Args:
        word: What the user typed.
        options: The words that are known.

    Returns:
        A sentence that starts with a space, or "" if nothing is close.

    Example:

    >>> did_you_mean("unte", ["unet", "efficientnet_b0_unet"])
    ' Did you mean "unet"?'
    """
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=1)
    return f' Did you mean "{close[0]}"?' if close else ""
