"""Writes the help of each command into its page: `make docs`. A test fails where a page is behind."""

import re
from pathlib import Path

from click.testing import CliRunner

from plankton_keras.cli import main

DOCS = Path(__file__).parent
BLOCK = re.compile(r"<!-- help -->.*?<!-- /help -->", re.DOTALL)


def with_help(page, command):
    """Gives the text of a page with the command's help as it is now."""
    said = CliRunner().invoke(main, [command, "--help"], prog_name="plankton", terminal_width=100).output
    return BLOCK.sub(lambda _: f"<!-- help -->\n```text\n{said.strip()}\n```\n<!-- /help -->", page)


if __name__ == "__main__":
    for name in main.commands:
        path = DOCS / f"{name}.md"
        path.write_text(with_help(path.read_text(), name))
