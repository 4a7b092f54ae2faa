"""Commands as forks of a process that has loaded everything: processes of their own, without the seconds of importing.

Run as a script it is that process: it takes a JSON object a line from stdin and answers with one on stdout.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """What became of a command: its exit code (negative: the signal), what it said, and its seconds of CPU."""

    code: int
    said: str
    seconds: float


class Command:
    """A command that runs.

    Args:
        warm: The `Warm` that started it.
        pid: Its process.
        said: File of what it says.
    """

    def __init__(self, warm, pid, said):
        self.warm, self.pid, self.said = warm, pid, said

    def spent(self):
        """Gives the seconds of CPU that it has spent, a better clock than the wall's on a busy machine."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_over(self):
        """Tells whether it has ended; nobody has waited for it, so that its number stays taken."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def kill_when(self, is_time, signal):
        """Sends a signal as soon as `is_time()` holds, unless the command ends before."""
        while not self.is_over():
            if is_time():
                os.kill(self.pid, signal)
                return
            time.sleep(0.002)

    def wait(self):
        """Waits for its end; gives an `Ended`."""
        code, seconds = self.warm.ask(wait=self.pid)
        return Ended(code, self.said.read_text(), seconds)


class Warm:
    """The loaded process, which starts commands."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        words = [sys.executable, __file__]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.count = 0

    def ask(self, **request):
        """Hands a request to the process; gives its answer."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, *words, largest_file=None):
        """Starts `plankton WORDS`.

        Args:
            words: Arguments.
            largest_file: Bytes that a file of it may have: a disk that is full.

        Returns:
            A `Command`.
        """
        self.count += 1
        said = self.folder / f"{self.count}.txt"
        pid = self.ask(words=[str(word) for word in words], said=str(said), largest_file=largest_file)
        return Command(self, pid, said)

    def run(self, *words, code=0, **more):
        """Runs `plankton WORDS` to the end, which has to have an exit code; gives an `Ended`."""
        ended = self.start(*words, **more).wait()
        assert ended.code == code, ended.said
        return ended

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def _command(request):
    """What a fork does; gives the exit code."""
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT)
    for number in (1, 2):
        os.dup2(said, number)
    if request["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], resource.RLIM_INFINITY))
    from plankton_keras.cli import main

    try:
        main(args=request["words"])
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _answer(content):
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def _serve():
    """Answers requests until stdin ends."""
    # All that the commands import; nothing is computed, since TensorFlow's threads would not survive a fork.
    from plankton_keras.cli import output

    output.prepare()
    for name in ("data.records", "inference", "judging", "journal", "tabulating", "tensorboard", "devices", "models"):
        __import__(f"plankton_keras.{name}")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status, used = os.wait4(request["wait"], 0)
            _answer([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime])
            continue
        pid = os.fork()
        if pid == 0:
            os._exit(_command(request))
        _answer(pid)


if __name__ == "__main__":
    _serve()
