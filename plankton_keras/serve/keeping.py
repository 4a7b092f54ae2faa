"""What was asked for last stays in memory; what somebody uses is never made twice."""

import threading
import weakref
from collections import OrderedDict


class Kept:
    """Values by key; any thread may use it.

    Args:
        make: Function of a key to a value.
        most: How many are kept beside those in use.

    Example:

    >>> kept = Kept(make=lambda key: {key}, most=1)
    >>> kept.get("a") is kept.get("a")
    True
    """

    def __init__(self, make, most):
        self._make, self._most, self._lock = make, most, threading.RLock()
        self._last, self._alive = OrderedDict(), weakref.WeakValueDictionary()

    def get(self, key):
        """Gives the value of a key."""
        with self._lock:
            value = self._alive.get(key)
            if value is None:
                value = self._alive[key] = self._make(key)
            self._last[key] = value
            self._last.move_to_end(key)
            while len(self._last) > self._most:
                self._last.popitem(last=False)
            return value

    def forget(self, key):
        """Keeps the value of a key no longer."""
        with self._lock:
            self._last.pop(key, None)
            self._alive.pop(key, None)
