"""What memory processes take beyond the files they map: their anonymous pages, sampled. Linux only."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

# Seconds between two samples, which are at least so many times what a sample took: looking shall not slow what is seen.
SECONDS, RARELY = 0.1, 20


def anonymous_bytes(pid):
    """Gives the anonymous memory of a process in bytes; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def members(session):
    """Lists the processes of a session: a command and all that it started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == session:
            found.append(int(folder.name))
    return found


class Peak:
    """Samples the anonymous memory of a session while a `with` block runs.

    Args:
        session: Number of the session, which is that of the process that leads it.

    Attributes:
        bytes: The most that all processes together had at once.
    """

    def __init__(self, session):
        self.session, self.bytes = session, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        wait = SECONDS
        while not self._done.wait(wait):
            started = time.monotonic()
            self.bytes = max(self.bytes, sum(map(anonymous_bytes, members(self.session))))
            wait = max(SECONDS, RARELY * (time.monotonic() - started))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def run(command, environment=None, sampled=True):
    """Runs a command to its end.

    Args:
        command: Its words.
        environment: Variables to set beside those of this process, or None.
        sampled: Whether memory is looked at, which takes some time of a core.

    Returns:
        `seconds` and, if sampled, `peak_anonymous_bytes`, summed over its processes, as a dictionary.

    Raises:
        SystemExit: If the command fails; it says what the command said last.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        with Peak(process.pid) if sampled else contextlib.nullcontext() as peak:
            said = process.communicate()[1]
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nfailed ({process.returncode}):\n{said[-2000:]}")
    return {"seconds": seconds, **({"peak_anonymous_bytes": peak.bytes} if peak else {})}
