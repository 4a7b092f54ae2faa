"""The one place that prints: results to stdout, progress and messages to stderr, errors as three lines or as JSON."""

import importlib.util
import json
import logging
import os
import shlex
import sys
import time

import click

from plankton_keras import __version__
from plankton_keras.errors import SettingError, in_words
from plankton_keras.files import release_folders, write_json
from plankton_keras.noise import no_noise

PLAIN_SECONDS = 30
# How commands go on after an interruption; the others do by themselves.
AGAIN = {"make-tfrecords": "--resume", "train": "--resume", "evaluate": "--overwrite", "measure": "--overwrite"}
# Those of which something is done already, which --overwrite would delete.
KEEPING = ("make-tfrecords", "train", "predict")


class PlanktonGroup(click.Group):
    """The group of commands, with the exit codes and error messages of all of them.

    An error of the user ends with its three lines and its code; with `--json` the same is an object on stdout.
    PLANKTON_DEBUG=1 shows the traceback instead.
    """

    # Whether the last command had taken its --out.
    _begun = False

    def __init__(self, **kwargs):
        super().__init__(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, **kwargs)
        click.version_option(__version__, prog_name="plankton")(self)

    def main(self, args=None, standalone_mode=True, **kwargs):
        """Runs a command; see click."""
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return self._run(words, **kwargs)
        try:
            code = self._run(words, **kwargs)
        except click.UsageError as error:
            code = _fail(words, error.format_message(), "see the help.", _help_command(error), 2, error)
        except click.exceptions.Abort:
            command = shlex.join(["plankton", *_again(words, self._begun)])
            code = _fail(words, "Interrupted.", "the command to end.", f"go on with: {command}", 130)
        except Exception as error:
            known = in_words(error)
            if known is None or os.environ.get("PLANKTON_DEBUG") == "1":
                raise
            code = _fail(words, known.what, known.expected, known.fix, known.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def _run(self, words, **kwargs):
        """Runs a command; its folder is its own until it ends."""
        try:
            return super().main(args=words, standalone_mode=False, **kwargs)
        finally:
            self._begun = release_folders()


def _again(words, begun):
    """Gives the words that go on with an interrupted command.

    Args:
        words: What was given.
        begun: Whether all that stood in --out is deleted; before that, --overwrite is as right as it was.
    """
    if words and words[0] in KEEPING and "--overwrite" in words:
        if not begun:
            return words
        words = [word for word in words if word != "--overwrite"]
    return [*words, *(flag for command, flag in AGAIN.items() if [command] == words[:1] and flag not in words)]


def _help_command(error):
    """Names the help of the command that was called wrongly."""
    return f"{error.ctx.command_path if error.ctx else 'plankton'} --help"


def _fail(words, what, expected, fix, code, usage=None):
    """Prints an error and hands on its exit code."""
    if "--json" in words:
        click.echo(json.dumps({"error": what, "expected": expected, "fix": fix}))
    elif usage is not None:
        usage.show()
    else:
        click.echo(f"{what}\nExpected: {expected}\nFix: {fix}", err=True)
    return code


class _ToStderr(logging.Handler):
    """Prints the package's messages, each text once."""

    def __init__(self):
        super().__init__()
        self.said = set()

    def emit(self, record):
        text = record.getMessage()
        if text not in self.said:
            self.said.add(text)
            click.echo(text, err=True)


def say(text, quiet=False):
    """Prints a line for people to stderr."""
    if not quiet:
        click.echo(text, err=True)


def finish(result, lines, as_json, path=None):
    """Prints the result of a command to stdout and saves it beside the output.

    Args:
        result: The object that `--json` prints.
        lines: What people read instead.
        as_json: Whether `--json` was given.
        path: Where the object is saved, or None.
    """
    if path is not None:
        write_json(path, result)
    click.echo(json.dumps(result, default=str) if as_json else "\n".join(lines))


class Progress:
    """Shows progress on stderr: a bar on a terminal, a plain line every 30 s elsewhere.

    Args:
        what: Name of the work.
        quiet: Whether to show nothing.
        unit: What is counted, and how many of them make one that is shown.
    """

    def __init__(self, what, quiet=False, unit=("Mpx", 1e6)):
        self.what, self.quiet, self.unit = what, quiet, unit
        self.started = self.shown = time.monotonic()

    def __call__(self, done, total, detail=""):
        """Shows how far the work is."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if self.quiet or (now - self.shown < (0.2 if terminal else PLAIN_SECONDS) and done < total):
            return
        self.shown = now
        name, scale = self.unit
        rate = done / max(now - self.started, 1e-6)
        text = (
            f"{self.what} {done / scale:.0f}/{total / scale:.0f} {name}  {rate / scale:.1f} {name}/s  "
            f"{duration((total - done) / max(rate, 1e-6))} left  {detail}"
        )
        if terminal:
            filled = int(20 * done / max(total, 1))
            click.echo(f"\r[{'#' * filled}{'.' * (20 - filled)}] {text}\x1b[K", nl=done >= total, err=True)
        else:
            click.echo(text, err=True)


def duration(seconds):
    """Words a time.

    Example:

    >>> duration(41), duration(1560), duration(9000)
    ('41 s', '26 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def percent(share):
    """Words a share.

    Example:

    >>> percent(0.0375)
    '3.75 %'
    """
    return f"{100 * share:.2f} %"


def listen(quiet=False):
    """Readies the process for a command that computes without TensorFlow: messages go to stderr.

    Args:
        quiet: Whether to keep messages back.
    """
    logger = logging.getLogger("plankton_keras")
    # Without any handler Python prints warnings by itself.
    logger.handlers = [logging.NullHandler() if quiet else _ToStderr()]
    logger.propagate = False
    logger.setLevel(logging.INFO)


def log_requests(quiet=False):
    """Prints a line for each request that a service answers, with its time, to stderr."""
    logger = logging.getLogger("plankton_requests")
    handler = logging.NullHandler() if quiet else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def need(module, extra):
    """Says how to install an extra that a command needs.

    Args:
        module: A module of it.
        extra: Its name in setup.cfg.

    Raises:
        SettingError: If the module is not installed.

    Example:

    >>> need("fastappi", "serve")
    Traceback (most recent call last):
    plankton_keras.errors.SettingError: fastappi is not installed.
    Expected: the extra serve.
    Fix: pip install ".[serve]" --constraint constraints.txt
    """
    if importlib.util.find_spec(module) is None:
        raise SettingError(
            f"{module} is not installed.",
            f"the extra {extra}.",
            f'pip install ".[{extra}]" --constraint constraints.txt',
        )


def prepare(quiet=False, backend="tensorflow"):
    """Readies the process for a command that computes: messages to stderr, TensorFlow loaded without its noise.

    Args:
        quiet: Whether to keep messages back too.
        backend: Backend of Keras that the command needs, or None for the user's own.
    """
    listen(quiet)
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    with no_noise():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
