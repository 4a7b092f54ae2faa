"""One side of a comparison as a process of its own, which waits while the other computes.

TensorFlow and torch live in different environments, and their threads would fight in one process. Questions and answers
are JSON, one a line; arrays go through files. Needs nothing but Python, in both environments.
"""

import contextlib
import json
import os
import subprocess
import sys
import traceback


class Worker:
    """A process that answers questions.

    Args:
        python: The interpreter of its environment.
        script: A script that ends in `serve`.
        environment: Variables to set beside those of this process, or None.
    """

    def __init__(self, python, script, environment=None):
        self.process = subprocess.Popen(
            [str(python), str(script)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, method, /, **arguments):
        """Asks for a piece of work and waits for it.

        Args:
            method: Name of the method that does it.
            arguments: What to give to the method; paths are given as text.

        Returns:
            What the method returns.

        Raises:
            SystemExit: If it failed; the traceback stands on stderr.
        """
        # If it is gone, its answer says so.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"method": method, "arguments": arguments}, default=str) + "\n")
            self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise SystemExit(f"{self.process.args[1]}: {method} failed: {answer['error']}")
        return answer["value"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def serve(side):
    """Answers questions with the methods of an object until there are no more.

    Args:
        side: The object.
    """
    # Libraries may print, but the answers have a line of their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"value": getattr(side, question["method"])(**question["arguments"])}
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
