"""Hands a function of one scan to this process, to local processes or to a Dask cluster; the results are the same.

Knows nothing of what the function does. A scan that is bad is a result like any other, so that the others go on; a
worker that dies costs its scan only, which is done again.
"""

import collections
import contextlib
import logging
import multiprocessing.connection
import os
import pickle
import signal
import threading
import time
import traceback
import uuid
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

from plankton_keras.errors import InputError, PlanktonError, SettingError, in_words
from plankton_keras.noise import no_noise
from plankton_keras.threads import cores, limit

log = logging.getLogger(__name__)

# Times that a scan may end the process that works on it. Dask counts for itself, to three too.
LOSSES = 3
# Seconds within which a scheduler answers, and after which its workers are counted again.
PATIENCE = 5
# Seconds between two words of a worker on how far it is.
TELL_SECONDS = 0.5
# A process of Dask may have several threads, but takes one scan at a time: the threads work inside the scan.
_ONE_SCAN = threading.Lock()


@dataclass(frozen=True)
class Crew:
    """Where the work is done.

    Attributes:
        workers: Local processes; 1 is this process, with all its threads.
        scheduler: Address of a Dask scheduler or path of its scheduler file; its workers do the work instead.

    Raises:
        SettingError: If both are given.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self):
        if self.scheduler and self.workers > 1:
            raise SettingError(
                f"--workers {self.workers} and --scheduler are both given.",
                "local processes, or a cluster.",
                "leave one out; how many workers a cluster has is decided where it is started.",
            )

    def reach(self, path):
        """Gives a path as the workers find it: those of a cluster stand in other folders than this process."""
        return Path(path).absolute() if self.scheduler else Path(path)

    def check(self):
        """Asks the scheduler for an answer, before anything is written.

        Raises:
            SettingError: If there is none, or Dask is not installed.
        """
        if self.scheduler:
            _connect(self.scheduler).close()

    def check_written(self, paths):
        """Looks for what the workers wrote.

        Args:
            paths: Files that they say they have written.

        Raises:
            PlanktonError: If one of them is not there: its machine has another file system.
        """
        missing = [path for path in paths if not Path(path).is_file()]
        if missing:
            raise PlanktonError(
                f"A worker wrote {missing[0]}, which is not here.",
                "a file system that all machines share, under one path.",
                "give an --out that every worker sees.",
            )


# This process, with all its threads.
HERE = Crew()


@dataclass(frozen=True)
class Outcome:
    """What became of an item: a value, or the error of a bad scan.

    Attributes:
        index: Number of the item.
        value: What the function gave.
        error: The `errors.InputError`, or None.
    """

    index: int
    value: object = None
    error: InputError | None = None


def deal(function, items, crew, progress=None, names=None):
    """Applies a function to items and gives the outcomes as they come.

    Args:
        function: Function of `(item, tell)`, picklable (a module's own, or a `functools.partial` of one): `tell` takes
            `(done, total)`, in pixels. What it writes must not depend on the process.
        items: List of picklable items.
        crew: The `Crew`.
        progress: Called with `(pixels done, pixels in all, name)`, or None.
        names: What to call each item, or None.

    Yields:
        An `Outcome` for each item, in the order of completion.

    Raises:
        SettingError: If the scheduler does not answer.
        PlanktonError: If the function raises one that is no `InputError`, or the cluster is lost.

    Example:

    >>> def half(number, tell):
    ...     if number % 2:
    ...         raise InputError(f"{number} is odd.", "an even number.", "choose another.")
    ...     return number // 2
    >>> [outcome.error.what if outcome.error else outcome.value for outcome in deal(half, [4, 3, 8], HERE)]
    [2, '3 is odd.', 4]
    """
    tally = _Tally(progress, [str(name) for name in names or items])
    count = min(crew.workers, len(items))
    if crew.scheduler:
        outcomes = _by_cluster(function, items, crew.scheduler, tally)
    elif count > 1:
        outcomes = _by_processes(function, items, count, tally)
    else:
        outcomes = _by_this_process(function, items, tally)
    for outcome in outcomes:
        if outcome.error:
            tally(outcome.index, 0, 0)
        yield outcome


class _Tally:
    """Adds up how far the items are; those not begun are taken to be as large as the others."""

    def __init__(self, progress, names):
        self.progress, self.names, self.parts = progress, names, {}

    def __call__(self, index, done, total):
        self.parts[index] = done, total
        sizes = [size for _, size in self.parts.values() if size]
        if self.progress and sizes:
            ahead = (len(self.names) - len(self.parts)) * sum(sizes) / len(sizes)
            self.progress(sum(each for each, _ in self.parts.values()), sum(sizes) + ahead, self.names[index])

    def hear(self, kind, content):
        """Takes what a worker says on its way."""
        if kind == "told":
            self(*content)
        else:
            log.log(content[0], "%s", content[1])


def _by_this_process(function, items, tally):
    for index, item in enumerate(items):
        try:
            outcome = Outcome(index, function(item, lambda done, total, index=index: tally(index, done, total)))
        except InputError as error:
            outcome = Outcome(index, error=error)
        yield outcome


def _by_processes(function, items, count, tally):
    """Keeps so many local processes at work; each has a line of its own, which ends when the process does."""
    threads = max(1, cores() // count)
    waiting, losses = collections.deque(range(len(items))), collections.Counter()
    processes, busy = {}, {}

    def give(line):
        busy[line] = waiting.popleft()
        # If the process is gone, its line says so when it is read.
        with contextlib.suppress(OSError):
            line.send((pickle.dumps((function, items[busy[line]])), threads, busy[line]))

    try:
        while waiting or busy:
            while waiting and len(processes) < count:
                line, process = _start()
                processes[line] = process
                give(line)
            for line in multiprocessing.connection.wait(list(processes)):
                try:
                    kind, content = line.recv()
                except (EOFError, OSError):
                    index = busy.pop(line)
                    outcome = _lost(index, processes.pop(line), losses, tally.names[index])
                    if outcome:
                        yield outcome
                    else:
                        waiting.append(index)
                    continue
                if kind in ("told", "said"):
                    tally.hear(kind, content)
                    continue
                index = busy.pop(line)
                if waiting:
                    give(line)
                else:
                    processes.pop(line)
                    line.close()
                yield _outcome(index, kind, content)
    finally:
        for process in processes.values():
            process.kill()


def _start():
    """Starts a process; gives the line to it and the process."""
    ours, theirs = multiprocessing.Pipe()
    # A fork of a process in which TensorFlow runs may hang.
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _lost(index, process, losses, name):
    """Counts a scan whose process died; gives its outcome if that happened too often."""
    process.join()
    losses[index] += 1
    if losses[index] < LOSSES:
        log.warning("A worker died (exit code %s) at %s; it is done again", process.exitcode, name)
        return None
    return Outcome(index, error=_deadly(name, f"{LOSSES} times"))


def _deadly(name, times):
    return InputError(
        f"{name} ended the process that worked on it {times}.",
        "a scan that fits into the memory of a worker.",
        "use fewer --workers, or workers with more memory.",
    )


def _serve(line):
    """What a local process does: takes items from the line until it ends."""
    # Ctrl-C goes to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = threading.Lock()

    def post(kind, content):
        with lock:
            line.send((kind, content))

    with contextlib.suppress(EOFError, OSError):
        while True:
            post(*_attempt(*line.recv(), post))


def _end_with_parent():
    """Ends this process with the one that started it: the next command may write the same files."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


class _Posted(logging.Handler):
    """Hands the package's messages on to the process that deals."""

    def __init__(self, post):
        super().__init__()
        self.post = post

    def emit(self, record):
        self.post("said", [record.levelno, record.getMessage()])


def _attempt(task, threads, index, post):
    """Does an item in a worker.

    Returns:
        `(kind, content)`: `done` and the value, `failed` and the parts of a `PlanktonError`, or `bug` and a traceback.
    """
    told = 0.0

    def tell(done, total):
        nonlocal told
        if done >= total or time.monotonic() > told + TELL_SECONDS:
            told = time.monotonic()
            post("told", [index, int(done), int(total)])

    logger, posted = logging.getLogger("plankton_keras"), _Posted(post)
    logger.setLevel(logging.INFO)
    logger.addHandler(posted)
    try:
        limit(threads)
        # Function and item come pickled, since unpickling them may import TensorFlow.
        with no_noise():
            function, item = pickle.loads(task)
        return "done", function(item, tell)
    except Exception as error:
        known = in_words(error)
        return ("failed", (type(known), *known.parts)) if known else ("bug", traceback.format_exc())
    finally:
        logger.removeHandler(posted)


def _outcome(index, kind, content):
    """Turns what `_attempt` gave into an `Outcome`; raises what ends the whole command."""
    if kind == "bug":
        raise RuntimeError(f"in a worker:\n{content}")
    if kind == "done":
        return Outcome(index, content)
    error = content[0](*content[1:])
    if not isinstance(error, InputError):
        raise error
    return Outcome(index, error=error)


def _connect(address):
    """Connects to a Dask scheduler."""
    try:
        from distributed import Client
    except ImportError:
        raise SettingError(
            "--scheduler needs Dask, which is not installed.",
            "the extra `cluster`.",
            'pip install ".[cluster]" --constraint constraints.txt',
        ) from None
    place = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return Client(**place, timeout=PATIENCE)
    except (OSError, ValueError):
        raise SettingError(
            f"--scheduler {address} does not answer.",
            "the address of a Dask scheduler, such as tcp://HOST:8786, or its scheduler file.",
            "start one with `dask scheduler`, and its workers with `dask worker ADDRESS`.",
        ) from None


def _by_cluster(function, items, address, tally):
    """Keeps every worker of a cluster at work on one scan; Dask itself does again what a lost worker had."""
    from distributed import wait
    from distributed.scheduler import KilledWorker

    topic, waiting, running = f"plankton-{uuid.uuid4()}", collections.deque(range(len(items))), {}
    with _connect(address) as client:
        client.subscribe_topic(topic, lambda event: tally.hear(*event[1]))
        try:
            while waiting or running:
                # Counted each time, since a queue starts workers when it pleases and ends them too.
                crew = len(client.nthreads())
                while waiting and len(running) < crew:
                    index = waiting.popleft()
                    task = pickle.dumps((function, items[index]))
                    running[client.submit(_on_worker, task, index, topic, pure=False)] = index
                if not crew:
                    log.warning("The scheduler %s has no worker: waiting for one", address)
                if not running:
                    time.sleep(PATIENCE)
                    continue
                with contextlib.suppress(TimeoutError):
                    wait(list(running), timeout=PATIENCE, return_when="FIRST_COMPLETED")
                for future in [future for future in running if future.done()]:
                    index = running.pop(future)
                    try:
                        outcome = _outcome(index, *future.result())
                    except KilledWorker as error:
                        outcome = Outcome(
                            index, error=_deadly(tally.names[index], f"{error.allowed_failures + 1} times")
                        )
                    yield outcome
        except (OSError, CancelledError) as error:
            raise PlanktonError(
                f"The scheduler {address} is gone.",
                "a cluster that stays until the work is done.",
                "start it again, then give the same command (make-tfrecords: with --resume).",
            ) from error


def _on_worker(task, index, topic):
    """Does an item in a worker of Dask, with as many threads as Dask thinks that it has."""
    from distributed import get_worker

    worker = get_worker()
    with _ONE_SCAN:
        return _attempt(
            task, worker.state.nthreads, index, lambda kind, content: worker.log_event(topic, [kind, content])
        )
