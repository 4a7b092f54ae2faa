"""Files that appear under their name only when they are whole, the digests that prove it, and who may write.

Does not know what is inside the files: that is `schema`, `runs`, and the stages.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from plankton_keras.errors import ArtefactError, InputError

# What a full disk is to the system; other packages say the same words in errors of their own.
_FULL = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}
# The key under which a JSON file holds the digest of all that stands before it.
SEAL = "sha256_of_the_above"
# The folders that this process writes to: descriptors, with a lock where there are locks, by device and inode.
_HELD = {}
# Those of them that are ready to be written to: what was to be deleted is.
_READY = set()


@contextlib.contextmanager
def whole_file(path, least=0):
    """Gives a temporary path beside `path` and renames it when the block ends well.

    The suffix stays the same, since encoders choose the format by it. After an error the temporary file is removed;
    after a kill it stays behind as `.partial-*` and the next write of the same file replaces it.

    Args:
        path: Where the whole file is to appear.
        least: Bytes that the disk must have, for writers that end the process where it is full, as h5py does.

    Yields:
        The `pathlib.Path` to write to.

    Raises:
        OSError: If the file cannot be written; it names the file, even where an encoder has an error of its own kind.

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
        if shutil.disk_usage(path.parent).free < least:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except Exception as error:
        for words, number in _FULL.items():
            if words in str(error):
                raise OSError(number, words, str(path)) from error
        raise
    finally:
        # Where nothing can be written, nothing can be removed either: the first error is the one to tell.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_json(path, content, sealed=False):
    """Writes an object as indented JSON, whole or not at all.

    Args:
        path: The file.
        content: Anything that `json` takes; paths become strings.
        sealed: Whether a digest of the content, a dictionary, goes with it, by which `read_json` finds damage.
    """
    if sealed:
        content = {**content, SEAL: _seal(content)}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def read_json(path, fix):
    """Reads a JSON file that plankton_keras wrote.

    Args:
        path: The file.
        fix: What to do if it is missing or damaged.

    Returns:
        The object, without its seal.

    Raises:
        ArtefactError: If the file is missing, is not a JSON object, or is not what was sealed.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Half a letter can be read, but neither printed nor written.
        json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise ArtefactError(f"{path} does not exist.", f"a file {path.name} in {path.parent}.", fix) from None
    except NotADirectoryError:
        above = next(parent for parent in path.parents if parent.is_file())
        raise ArtefactError(f"{above} is a file.", f"a folder that holds {path.name}.", fix) from None
    except (ValueError, RecursionError, OSError) as error:
        raise ArtefactError(f"{path} is damaged: {error}.", "a whole JSON file.", fix) from None
    if not isinstance(content, dict):
        raise ArtefactError(f"{path} holds a {type(content).__name__}.", "a JSON object.", fix)
    seal = content.pop(SEAL, None)
    if seal not in (None, _seal(content)):
        raise ArtefactError(
            f"{path} is damaged: it is not what its digest was made of.", "a file as it was written.", fix
        )
    return content


def _seal(content):
    """Digests what JSON keeps of a dictionary, however it is laid out."""
    kept = json.loads(json.dumps(content, default=str))
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def reading(path):
    """Words what keeps a block from reading a file; else it would pass for what keeps one from writing.

    Args:
        path: The file.

    Raises:
        InputError: If it cannot be read.

    Example:

    >>> with reading("scans"):
    ...     raise OSError(errno.EIO, "Input/output error")
    Traceback (most recent call last):
    plankton_keras.errors.InputError: scans cannot be read: Input/output error.
    Expected: a file that can be read.
    Fix: check the disk, and the right to read it.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}.",
            "a file that can be read.",
            "check the disk, and the right to read it.",
        ) from None


def sha256(path):
    """Digests a file without reading it at once.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: If it cannot be read.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "empty"
    >>> target.touch()
    >>> sha256(target)[:8]
    'e3b0c442'
    """
    with reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder, paths):
    """Digests several files of a folder as one.

    Args:
        folder: The folder.
        paths: Files in it, in the order in which they count.

    Returns:
        64 hexadecimal digits, those of `sha256sum PATHS | sha256sum` in the folder.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("graph", "weights"):
    ...     _ = (folder / name).write_text(name)
    >>> sha256_of_files(folder, [folder / "graph", folder / "weights"])[:8]
    '3c0d2b49'
    """
    listed = "".join(f"{sha256(path)}  {Path(path).relative_to(folder).as_posix()}\n" for path in paths)
    return hashlib.sha256(listed.encode()).hexdigest()


def scratch(height, width):
    """Makes an array in a temporary file without a name: it costs no memory, and a kill leaves nothing behind.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        A memory-mapped uint8 `(height, width)` array of zeros.

    Raises:
        OSError: If there is no room for it.
    """
    import numpy as np

    with tempfile.TemporaryFile() as file:
        reserve(file, height * width)
        return np.memmap(file, np.uint8, "w+", shape=(height, width))


def reserve(file, size):
    """Reserves room for a file that is to be memory-mapped: where a disk is full only later, the process is ended.

    Args:
        file: The open file, without content.
        size: Bytes.

    Raises:
        OSError: If there is no room; it names the folder of temporary files.
    """
    # Not every system has it.
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from None


@contextlib.contextmanager
def unchanged(*paths):
    """Sees to it that files are the same when a block ends as when it began.

    Args:
        paths: The files.

    Yields:
        A function that looks before the block ends.

    Raises:
        InputError: If one was written to or replaced in between, or is gone.

    Example:

    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = target.write_text("one")
    >>> with unchanged(target):
    ...     _ = target.write_text("other")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    plankton_keras.errors.InputError: ...a.txt changed while it was read.
    Expected: a file that stays as it is.
    Fix: give the command again when nobody writes to it.
    """
    before = [_stamp(path) for path in paths]

    def check():
        for path, stamp in zip(paths, before, strict=True):
            if _stamp(path) != stamp:
                raise InputError(
                    f"{path} changed while it was read.",
                    "a file that stays as it is.",
                    "give the command again when nobody writes to it.",
                )

    yield check
    check()


def _stamp(path):
    try:
        found = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "a file that stays.", "check the path.") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def free_name(name, taken):
    """Numbers a name that is taken already; names that only differ in case are one on some systems.

    Args:
        name: The name that is wanted, without suffix.
        taken: Set of names in small letters; what is given is added.

    Returns:
        The name, or one that ends with `_2`, `_3` and so on.

    Example:

    >>> taken = set()
    >>> [free_name(name, taken) for name in ("a", "b", "A")]
    ['a', 'b', 'A_2']
    """
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found.lower())
    return found


def claim_folder(out, overwrite=False, resume=None):
    """Makes the folder that a command writes to, or refuses; until `release_folders` no other process gets it.

    Args:
        out: The folder.
        overwrite: Whether what stands there is deleted.
        resume: Whether what stands there is kept and completed; None where the command cannot.

    Returns:
        The folder as a `pathlib.Path`; it exists.

    Raises:
        ArtefactError: If it has content and neither was asked for, it is a file or a link to nothing, or if another
            process writes to it.
    """
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        path = Path(error.filename)
        what = f"is a link to {path.readlink()}, which is not there" if path.is_symlink() else "is a file"
        fix = "choose another --out."
        raise ArtefactError(f"{path} {what}.", "a folder, or a path that is free.", fix) from None
    _hold(out)
    found = [] if resume else list(out.iterdir())
    if found and not overwrite:
        complete = "" if resume is None else "--resume to complete it, "
        ways = f"add {complete}--overwrite to replace it, or choose another --out."
        raise ArtefactError(f"{out} already has content.", "a new folder.", ways)
    # The folder itself stays, since the lock is on it.
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _READY.add(out)
    return out


def _hold(folder):
    """Locks a folder for this process; whatever ends the process gives it back."""
    descriptor = os.open(folder, os.O_RDONLY)
    known = os.fstat(descriptor)
    key = known.st_dev, known.st_ino
    if key in _HELD:
        os.close(descriptor)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ArtefactError(
            f"Another command is writing to {folder}.",
            "one command at a time in a folder.",
            "wait until it has ended, or choose another --out.",
        ) from None
    except OSError:
        pass  # A file system without locks: as it was before there were any.
    _HELD[key] = descriptor


def release_folders():
    """Gives back what `claim_folder` locked; the end of a command.

    Returns:
        Whether any was ready to be written to.
    """
    while _HELD:
        os.close(_HELD.popitem()[1])
    ready = bool(_READY)
    _READY.clear()
    return ready
