"""The errors that a user can cause, each with what was found, what was expected and how to fix it.

    PlanktonError            1  something unexpected that still has a plain message
    |-- SettingError         2  a setting out of range, or words that do not go together
    |-- InputError           3  a scan, mask or vignette is bad
    `-- ArtefactError        4  records, a run, an export or a prediction folder is bad

The number is the exit code of the command line.
"""

import difflib
import errno
import re

# What stops a write, what stops reading too, and is no bug.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
# How TensorFlow says that the disk is full.
_NO_ROOM = re.compile(r"(\S+); (No space left on device)")
# How TensorFlow and OpenCV say that there is no memory.
_NO_MEMORY = ("OOM when allocating", "Insufficient memory")
# What ends a line or steers a terminal, and halves of letters, which cannot be printed; lines of ours are indented.
_UNPRINTABLE = re.compile("\n(?!  )|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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
        self.what, self.expected, self.fix = self.parts = tuple(map(printable, (what, expected, fix)))
        super().__init__(f"{self.what}\nExpected: {self.expected}\nFix: {self.fix}")


class SettingError(PlanktonError):
    """A setting is out of range, or settings do not go together."""

    exit_code = 2


class InputError(PlanktonError):
    """A scan, a mask, a vignette or a table beside them is bad."""

    exit_code = 3


class ArtefactError(PlanktonError):
    """Something that plankton_keras wrote is missing, damaged or in the way."""

    exit_code = 4


def in_words(error):
    """Words what the user or the machine, not a bug, did to a command: no room, no right to write, no memory.

    Args:
        error: Any exception.

    Returns:
        A `PlanktonError`, the error itself if it is one; None of a bug.

    Example:

    >>> print(in_words(OSError(errno.ENOSPC, "No space left on device", "runs/unet/model.keras")))
    runs/unet/model.keras cannot be written: No space left on device.
    Expected: room on the disk, and the right to write there.
    Fix: make room, or choose another place; then give the command again.
    """
    if isinstance(error, PlanktonError):
        return error
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return PlanktonError(
            "The memory is not enough.",
            "room for what is computed at once.",
            "use fewer --workers, a smaller --tile or --batch-size, or a machine with more memory.",
        )
    path, why = getattr(error, "filename", None), getattr(error, "strerror", None)
    if found := _NO_ROOM.search(str(error)):
        path, why = found.groups()
    elif not isinstance(error, OSError) or error.errno not in (*_UNWRITABLE, *_UNREACHABLE):
        return None
    elif error.errno in _UNREACHABLE:
        return PlanktonError(
            f"{path or 'A file'} cannot be read or written: {why}.",
            "a disk that works, and the right to read and write there.",
            "check both, or choose another place; then give the command again.",
        )
    return PlanktonError(
        f"{path or 'A file'} cannot be written: {why}.",
        "room on the disk, and the right to write there.",
        "make room, or choose another place; then give the command again.",
    )


def printable(text):
    """Writes out what ends a line or steers a terminal, which names in a file may hold.

    Args:
        text: Any text; line breaks before two spaces stay.

    Returns:
        The text to print.

    Example:

    >>> print(printable("Été\\x1b[2J\\u2028\\ud800"))
    Été\\x1b[2J\\u2028\\ud800
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def counted(count, noun):
    """Words a number of things.

    Args:
        count: How many there are.
        noun: What one of them is called; a second one has an s.

    Example:

    >>> counted(1, "scan"), counted(0, "scan")
    ('1 scan', '0 scans')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def and_others(count):
    """Counts what is not named at the end of a list.

    Args:
        count: How many there are beside those named.

    Returns:
        Words that start with a space, or "" if there are none.

    Example:

    >>> and_others(1), and_others(2), and_others(0)
    (' and 1 other', ' and 2 others', '')
    """
    return f" and {counted(count, 'other')}" if count > 0 else ""


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
