"""Work of NumPy and OpenCV, which let go of the interpreter while they compute, side by side and in order."""

import collections
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

# The threads that this process may have at most, once `limit` was called.
_LIMIT = []


def cores():
    """Gives the number of cores that this process may use."""
    if _LIMIT:
        return _LIMIT[-1]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit(count):
    """Bounds the threads of this process, those of OpenCV and of TensorFlow included.

    To be called before TensorFlow is imported, which reads its bounds only then; later calls bound the others.

    Args:
        count: Number of threads, at least 1.
    """
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(count)
    _LIMIT[:] = [count]
    import cv2

    cv2.setNumThreads(count)


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


def ahead(items):
    """Advances items by a thread of its own, one ahead of who takes them.

    Args:
        items: Iterable, such as a generator that reads.

    Yields:
        The items.

    Example:

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item
