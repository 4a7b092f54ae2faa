"""Work of NumPy and OpenCV, which let go of the interpreter while they compute, side by side and in order."""

import collections
import itertools
import os
from concurrent.futures import ThreadPoolExecutor


def cores():
    """Gives the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function, items):
    """Applies a function to items by as many threads as there are cores, a few items ahead of who takes the results.

    Args:
        function: Function of one item.
        items: Iterable; it is advanced by the caller's thread.

    Yields:
        The results in the order of the items, so that nothing depends on the number of threads.

    Example:

    >>> list(in_order(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    count = cores()
    with ThreadPoolExecutor(count) as pool:
        items = iter(items)
        waiting = collections.deque(pool.submit(function, item) for item in itertools.islice(items, count + 1))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
