"""What is wrong with files: findings, which are gathered instead of raised, so that all are known at once."""

from dataclasses import asdict, dataclass

from plankton_keras.errors import InputError, PlanktonError, counted

ERROR, WARNING = "error", "warning"
# Errors that a command names before it says how many more there are.
SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful.

    Attributes:
        group: What it is about, such as `sizes`; findings are shown by it.
        severity: `error` if a command would refuse or its result be wrong; `warning` if a person should look.
        what: What was found, with the name of the file.
        expected: What was expected there.
        fix: What to do.
    """

    group: str
    severity: str
    what: str
    expected: str
    fix: str

    @classmethod
    def of(cls, group, error):
        """Makes one of a `PlanktonError`."""
        return cls(group, ERROR, error.what, error.expected, error.fix)

    def to_json(self):
        """Gives it as plain values."""
        return asdict(self)


def found_by(group, check, *values):
    """Does a check that raises at what is bad.

    Args:
        group: As in `Finding`.
        check: A function.
        values: What it is called with.

    Returns:
        `(result, findings)`: what it returned, None if it raised; and a list of one finding or none.

    Example:

    >>> from plankton_keras.config import parse_gray_range
    >>> result, (finding,) = found_by("settings", parse_gray_range, "dark:light")
    >>> result, finding.severity
    (None, 'error')
    """
    try:
        return check(*values), []
    except PlanktonError as error:
        return None, [Finding.of(group, error)]


def refuse(findings):
    """Raises what is wrong, all of it, for a command that cannot work on such files.

    Args:
        findings: List of `Finding`.

    Raises:
        InputError: If one is an error; its text names them.

    Example:

    >>> refuse([Finding("disk", WARNING, "The disk is nearly full.", "room.", "make room.")])
    >>> refuse([Finding("names", ERROR, f"{name} has no scan.", "a scan.", "add it.") for name in ("b.png", "c.png")])
    Traceback (most recent call last):
    plankton_keras.errors.InputError: b.png has no scan. c.png has no scan.
    Expected: a scan.
    Fix: add it. What each of them needs is said by: plankton validate SCANS
    """
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        more = " What each of them needs is said by: plankton validate SCANS" if errors[1:] else ""
        others = f" And {len(errors) - SHOWN} more." if errors[SHOWN:] else ""
        said = " ".join(each.what for each in errors[:SHOWN]) + others
        raise InputError(said, errors[0].expected, errors[0].fix + more)


def worded(findings):
    """Words findings for people: by group, errors first.

    Args:
        findings: List of `Finding`.

    Returns:
        A list of lines.

    Example:

    >>> print("\\n".join(worded([Finding("names", ERROR, "b_mask.png has no scan.", "a scan.", "add it.")])))
    names
      error: b_mask.png has no scan.
        Expected: a scan.
        Fix: add it.
    """
    lines = []
    for group in dict.fromkeys(finding.group for finding in findings):
        lines.append(group)
        mine = [finding for finding in findings if finding.group == group]
        for finding in sorted(mine, key=lambda finding: finding.severity != ERROR):
            lines.append(f"  {finding.severity}: {finding.what}")
            lines += [f"    Expected: {finding.expected}", f"    Fix: {finding.fix}"]
    return lines


def summary(findings):
    """Counts findings in words.

    Example:

    >>> summary([])
    'no errors, no warnings'
    """
    counts = [(sum(finding.severity == kind for finding in findings), kind) for kind in (ERROR, WARNING)]
    return ", ".join(counted(count or "no", kind) for count, kind in counts)
