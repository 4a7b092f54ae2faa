"""Options that commands share, and those that come from a config's settings."""

import dataclasses
import errno
import functools
import math
import os
import types
from pathlib import Path

import click

from plankton_keras.config import TrainConfig
from plankton_keras.errors import SettingError

# Options and arguments that are places to write to.
WRITTEN = ("out", "data", "folder")


class Place(click.Path):
    """A path that can be looked for; an empty one, as an unset variable gives it, would be the working directory."""

    def convert(self, value, param, ctx):
        """Reads it."""
        path = super().convert(value, param, ctx)
        if not os.fspath(value):
            self.fail("The path is empty.", param, ctx)
        try:
            path.stat()
        except OSError as error:
            # A loop of links among scans is said with the scans.
            if error.errno == errno.ENAMETOOLONG or (error.errno == errno.ELOOP and param.name in WRITTEN):
                self.fail(f"{path}: {error.strerror}.", param, ctx)
        return path


FOLDER = Place(path_type=Path)


class Number(click.FloatRange):
    """A number in a range; `nan` compares with nothing, so that click's own range lets it pass."""

    def convert(self, value, param, ctx):
        """Reads it."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


# No scanner has more, and one that has none cannot be told.
DPI = Number(1, 100_000)

out_option = click.option("--out", type=FOLDER, required=True, help="Where to write.")
token_option = click.option(
    "--token",
    envvar="PLANKTON_TOKEN",
    metavar="TEXT",
    help="What clients of a service must know. Better in PLANKTON_TOKEN, since others see the options of a command.",
)
masks_option = click.option("--masks", type=FOLDER, help="Folder of masks with the stems of the scans.")

_FLAGS = {
    "dry_run": click.option("--dry-run", is_flag=True, help="Say what it would do and cost; write nothing."),
    "resume": click.option("--resume", is_flag=True, help="Complete what an interrupted call left in --out."),
    "overwrite": click.option("--overwrite", is_flag=True, help="Replace what stands in --out."),
    "json": click.option("--json", is_flag=True, help="Print one JSON object on stdout."),
    "quiet": click.option("--quiet", is_flag=True, help="No progress, no messages."),
    "workers": click.option(
        "--workers",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Processes that share the scans; the result does not depend on it.",
    ),
    "scheduler": click.option(
        "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers share the scans, or its scheduler file."
    ),
}


def flags(*names):
    """Adds flags that mean the same in every command.

    Args:
        names: Keys of `_FLAGS`, in the order of the help.

    Returns:
        A decorator. The command gets them all as the attributes of one argument, `flags`.
    """

    def decorate(function):
        @functools.wraps(function)
        def command(**given):
            taken = types.SimpleNamespace(**{name: given.pop(name) for name in names})
            if {"resume", "overwrite"} <= set(names) and taken.resume and taken.overwrite:
                raise SettingError(
                    "--resume and --overwrite were both given.",
                    "one of them: what stands in --out is completed, or deleted.",
                    "leave the other out.",
                )
            return function(flags=taken, **given)

        for name in reversed(names):
            command = _FLAGS[name](command)
        return command

    return decorate


def config_options(config_class, leave_out=()):
    """Adds an option for each setting of a config, and `--config FILE.json`.

    Args:
        config_class: A class of `config`.
        leave_out: Names of settings without an option.

    Returns:
        A decorator. The command gets `config_file` and, for each setting, the user's value or None.
    """

    def decorate(function):
        for item in reversed(dataclasses.fields(config_class)):
            if item.name not in leave_out:
                function = _option(item)(function)
        # Only a training writes its settings as such a file.
        text = "such as an earlier run's config.json" if config_class is TrainConfig else "named as here, with _ for -"
        return click.option("--config", "config_file", type=FOLDER, help=f"JSON file of settings, {text}.")(function)

    return decorate


def _option(item):
    """Makes the option of a setting."""
    flag, rules = "--" + item.name.replace("_", "-"), item.metadata
    if item.type is bool:
        return click.option(flag, is_flag=True, default=None, help=rules["help"])
    kind = next(each for each in item.type.__args__ if each is not type(None)) if _is_union(item.type) else item.type
    default = "" if item.default in ("", None) else f"  [default: {item.default}]"
    choices = f" One of: {', '.join(rules['choices'])}." if rules["choices"] else ""
    return click.option(flag, type=kind, default=None, help=rules["help"] + choices + default)


def _is_union(kind):
    return isinstance(kind, types.UnionType)


def build_config(config_class, given, config_file=None, preset=None):
    """Makes the config of what the user said.

    Args:
        config_class: A class of `config`.
        given: Values by name; None is unsaid. Names that are no settings are not looked at.
        config_file: JSON file, or None. Flags win over it.
        preset: Settings that stand below the file and the flags, or None.

    Returns:
        The config.

    Raises:
        SettingError: If a value is out of range or a name in the file unknown.
    """
    values = dict(preset or {})
    if config_file:
        values.update(config_class.values_of_file(config_file))
    values.update({name: given[name] for name in config_class.names() if given.get(name) is not None})
    return config_class.from_json(values, source=str(config_file or "the options"))


def keep_apart(out, overwrite, read):
    """Refuses to replace a folder that holds what the command is to read.

    Args:
        out: What `--out` names.
        overwrite: Whether what stands there would be deleted.
        read: Paths that the command reads, or None for those that were not given.

    Raises:
        SettingError: If one of them is that folder, or lies in it.

    Example:

    >>> keep_apart(Path("scans"), True, [Path("scans/train")])
    Traceback (most recent call last):
    plankton_keras.errors.SettingError: --overwrite would delete scans/train, which lies in --out scans.
    Expected: an --out apart from what is read.
    Fix: choose another --out.
    """
    place = out.resolve()
    lost = [path for path in read if overwrite and path and place in (path.resolve(), *path.resolve().parents)]
    if lost:
        raise SettingError(
            f"--overwrite would delete {lost[0]}, which lies in --out {out}.",
            "an --out apart from what is read.",
            "choose another --out.",
        )
