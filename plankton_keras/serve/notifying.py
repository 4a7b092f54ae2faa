"""Who listens to jobs hears of each change: from any thread to any number of server-sent event streams."""

import asyncio
import contextlib
import json
import threading

# Seconds after which a silent stream says that it is alive.
ALIVE_SECONDS = 15


class Notifier:
    """Tells listeners which jobs have changed; any thread may tell.

    A listener that is slow is told of a job once, however often it changed: nothing piles up.
    """

    def __init__(self):
        self._lock, self._listeners, self._is_closed = threading.Lock(), set(), False

    def tell(self, id):
        """Says that a job has changed."""
        with self._lock:
            listeners = [each for each in self._listeners if each.only in (None, id)]
        for each in listeners:
            each.hear(id)

    @contextlib.contextmanager
    def listening(self, only=None):
        """Adds a listener for the time of a `with` block, within a running event loop.

        Args:
            only: The job to listen to, or None for all.

        Yields:
            A `Listener`.
        """
        listener = Listener(only)
        with self._lock:
            self._listeners.add(listener)
            closed = self._is_closed
        if closed:
            listener.hear(None)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def close(self):
        """Ends all streams, now and later: the service stops."""
        with self._lock:
            self._is_closed, listeners = True, list(self._listeners)
        for each in listeners:
            each.hear(None)

    def __len__(self):
        return len(self._listeners)


class Listener:
    """One who hears of changes; made by `Notifier.listening`."""

    def __init__(self, only):
        self.only = only
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        self._lock, self._changed = threading.Lock(), {}

    def hear(self, id):
        """Notes a change; None ends the stream. Any thread may call it."""
        with self._lock:
            self._changed[id] = None
        # The loop may end while another thread speaks.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def changes(self, seconds):
        """Waits for changes.

        Args:
            seconds: How long, at most.

        Returns:
            A list of ids, empty after that time; None among them where the stream is to end.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()
        with self._lock:
            changed, self._changed = list(self._changed), {}
        return changed


def event(name, content):
    """Words a server-sent event.

    Example:

    >>> event("job", {"id": "a"})
    'event: job\\ndata: {"id": "a"}\\n\\n'
    """
    return f"event: {name}\ndata: {json.dumps(content)}\n\n"
