"""Files that appear under their name only when they are whole, and the digests that prove it.

Does not know what is inside the files: that is `schema`, `runs`, and the stages.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from plankton_keras.errors import ArtefactError


@contextlib.contextmanager
def whole_file(path):
    """Gives a temporary path beside `path` and renames it when the block ends well.

    The suffix stays the same, since encoders choose the format by it. After an error the temporary file is removed;
    after a kill it stays behind as `.partial-*` and the next write of the same file replaces it.

    Args:
        path: Where the whole file is to appear.

    Yields:
        The `pathlib.Path` to write to.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole_file(target) as partial:
    ...     _ = partial.write_text("done")
    ...     target.exists()
    False
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path, content):
    """Writes an object as indented JSON, whole or not at all.

    Args:
        path: The file.
        content: Anything that `json` takes; paths become strings.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def read_json(path, fix):
    """Reads a JSON file that plankton_keras wrote.

    Args:
        path: The file.
        fix: What to do if it is missing or damaged.

    Returns:
        The object.

    Raises:
        ArtefactError: If the file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist.", f"a file {path.name} in {path.parent}.", fix) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is damaged: {error}.", "a whole JSON file.", fix) from None


def sha256(path):
    """Digests a file without reading it at once.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "empty"
    >>> target.touch()
    >>> sha256(target)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scratch(height, width):
    """Makes an array in a temporary file without a name: it costs no memory, and a kill leaves nothing behind.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        A memory-mapped uint8 `(height, width)` array of zeros.
    """
    import numpy as np

    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=(height, width))


def claim_folder(out, overwrite=False, resume=False):
    """Makes the folder that a command writes to, or refuses.

    Args:
        out: The folder.
        overwrite: Whether what stands there is deleted.
        resume: Whether what stands there is kept and completed.

    Returns:
        The folder as a `pathlib.Path`; it exists.

    Raises:
        ArtefactError: If it has content and neither was asked for.
    """
    out = Path(out)
    if out.is_file():
        raise ArtefactError(f"{out} is a file.", "a folder, or a path that is free.", "choose another --out.")
    if out.is_dir() and any(out.iterdir()) and not resume:
        if not overwrite:
            raise ArtefactError(
                f"{out} already has content.",
                "a new folder.",
                "add --resume to complete it, --overwrite to replace it, or choose another --out.",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    return out
