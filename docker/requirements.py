"""Prints what an image installs: the requirements of setup.cfg, with the TensorFlow that suits the image.

pip cannot install the dependencies of a package without its source; the images do, so that a change in the source
leaves the large layer alone. Runs on a bare Python, in the folder that has setup.cfg and constraints.txt.
"""

import argparse
import configparser
import re
import sys
from pathlib import Path


def requirements(setup, constraints, tensorflow="tensorflow", extras=(), leave_out=()):
    """Lists the requirements.

    Args:
        setup: Text of setup.cfg.
        constraints: Text of constraints.txt.
        tensorflow: The distribution that stands in for `tensorflow`; it gets the version that constraints.txt has.
        extras: Names of extras in setup.cfg.
        leave_out: Packages that are left out.

    Returns:
        The lines of a requirements file.

    Example:

    >>> setup = "[options]\\ninstall_requires =\\n click\\n tensorflow >=2.19\\n[options.extras_require]\\n"
    >>> requirements(setup, "click==8.5.1\\ntensorflow==2.21.0", tensorflow="tensorflow-cpu", leave_out=["click"])
    ['tensorflow-cpu==2.21.0']
    """
    config = configparser.ConfigParser()
    config.read_string(setup)
    lines = config["options"]["install_requires"].split("\n")
    for extra in extras:
        if extra not in config["options.extras_require"]:
            raise SystemExit(f'setup.cfg has no extra "{extra}"')
        lines += config["options.extras_require"][extra].split("\n")
    lines = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    names = [_name(line) for line in lines]
    unknown = set(leave_out) - set(names)
    if unknown:
        raise SystemExit(f"setup.cfg does not require {', '.join(sorted(unknown))}")
    pin = re.search(r"^tensorflow(==\S+)", constraints, re.MULTILINE).group(1)
    return [
        tensorflow + pin if name == "tensorflow" else line
        for name, line in zip(names, lines, strict=True)
        if name not in leave_out
    ]


def _name(requirement):
    """Gives the package's name in a requirement, as pip compares names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def main():
    """Reads the options, prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tensorflow", default="tensorflow", help="tensorflow, tensorflow-cpu, tensorflow[and-cuda]")
    parser.add_argument("--extras", default="", help="extras of setup.cfg, between commas")
    parser.add_argument("--leave-out", default="", help="packages, between commas")
    options = parser.parse_args()
    lines = requirements(
        Path("setup.cfg").read_text(),
        Path("constraints.txt").read_text(),
        options.tensorflow,
        [name for name in options.extras.split(",") if name],
        [name for name in options.leave_out.split(",") if name],
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
