"""Timings by turns, what follows from them, and the checks without which nothing is timed. Pure Python and NumPy."""

import statistics
import sys


def by_turns(jobs, rounds):
    """Runs jobs by turns, A B A B ..., so that whatever else the machine does meets all alike; says each on stderr.

    Args:
        jobs: Functions by name; each gives the seconds that its work took.
        rounds: Times that each has its turn.

    Returns:
        The seconds by name, a list of one a round.
    """
    seconds = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(job())
            print(f"  {name}: {seconds[name][-1]:.4g} s", file=sys.stderr, flush=True)
    return seconds


def spread(numbers):
    """Gives the median of numbers, the least and the most of them.

    Example:

    >>> spread([3.0, 1.0, 2.5])
    {'median': 2.5, 'least': 1.0, 'most': 3.0}
    """
    return {"median": statistics.median(numbers), "least": min(numbers), "most": max(numbers)}


def ratio(above, below):
    """Divides round by round, since both of a round met the same machine, and gives the spread of what comes out.

    Args:
        above: Numbers, one a round.
        below: As many.

    Returns:
        As `spread`.

    Example:

    >>> ratio([8.0, 6.0, 9.0], [4.0, 2.0, 2.0])
    {'median': 3.0, 'least': 2.0, 'most': 4.5}
    """
    return spread([each / other for each, other in zip(above, below, strict=True)])


def check_equal(what, **sides):
    """Refuses sides that did not do the same work.

    Args:
        what: What is compared, for the message.
        sides: What each side has, by its name.

    Raises:
        SystemExit: If they are not all equal.
    """
    first, *others = sides.values()
    if any(other != first for other in others):
        said = ", ".join(f"{name} {value}" for name, value in sides.items())
        raise SystemExit(f"Not timed: {what} differ: {said}.")


def check_masks(what, ours, theirs, most):
    """Refuses masks that differ in too many pixels.

    Args:
        what: What they are masks of, for the message.
        ours: Class indices, any shape.
        theirs: As many.
        most: Largest share of the pixels in which they may differ.

    Returns:
        The share of the pixels in which they differ.

    Raises:
        SystemExit: If shapes differ, or more pixels do.
    """
    if ours.shape != theirs.shape:
        raise SystemExit(f"Not timed: the masks of {what} have the shapes {ours.shape} and {theirs.shape}.")
    different = int((ours != theirs).sum())
    if different > most * ours.size:
        share = different / ours.size
        raise SystemExit(
            f"Not timed: the masks of {what} differ in {different} of {ours.size} pixels ({share:.2%}), "
            f"more than {most:.2%}."
        )
    return different / ours.size
