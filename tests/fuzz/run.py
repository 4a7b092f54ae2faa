"""Searches for bytes that a reader breaks at, guided by coverage: `python -m tests.fuzz.run NAME --seconds 600`.

A case that is found does not end the search: the first of each kind and place is kept in `FOUND/NAME/`.
"""

import argparse
import hashlib
import json
import logging
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

import atheris

LONGEST = 4096


def main():
    """Runs the search and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--work", type=Path, default=Path("fuzzing"), help="folder of corpora and found cases")
    asked, started = parser.parse_args(), time.monotonic()
    with atheris.instrument_imports(include=["plankton_keras", "tifffile", "PIL", "csv", "json", "zipfile"]):
        from . import mutators, readers

    logging.disable(logging.CRITICAL)
    corpus, found = (asked.work / folder / asked.name for folder in ("corpora", "found"))
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    kept = Path(__file__).parent / "corpus" / asked.name
    for content in (*readers.seeds(asked.name), *(path.read_bytes() for path in kept.glob("*"))):
        (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    path = readers.prepare(asked.name, folder.name)
    counts = {"executions": 0, "refused": 0, "broken": {}}

    def once(data):
        counts["executions"] += 1
        path.write_bytes(data)
        try:
            counts["refused"] += readers.attempt(asked.name, path) is not None
        except Exception as error:
            key = _key(error)
            counts["broken"][key] = counts["broken"].get(key, 0) + 1
            target = found / key
            if not target.exists() or len(data) < target.stat().st_size:
                target.write_bytes(data)
                (found / f"{key}.txt").write_text("".join(traceback.format_exception(error)), errors="replace")
        if time.monotonic() - started > asked.seconds:
            counts["seconds"] = round(time.monotonic() - started)
            counts["cpu_seconds"] = round(time.process_time())
            sys.stdout.write(json.dumps({"reader": asked.name, **counts}) + "\n")
            sys.stdout.flush()
            folder.cleanup()
            # The library takes an exception, SystemExit too, for a case.
            os._exit(0)

    def plain(content):
        return atheris.Mutate(content or b"0", min(LONGEST, 2 * len(content) + 64))

    def change(data, size, seed):
        mutate = mutators.MUTATORS[asked.name]
        if random.Random(seed).random() < 0.3:
            return atheris.Mutate(data, size)
        return mutate(data, plain, seed)[:size]

    words = [
        sys.argv[0],
        str(corpus),
        f"-max_len={LONGEST}",
        "-timeout=60",
        "-rss_limit_mb=4000",
        "-print_final_stats=1",
    ]
    words += [f"-artifact_prefix={found}/", "-use_value_profile=1", "-verbosity=0"]
    options = {"custom_mutator": change} if asked.name in mutators.MUTATORS else {}
    atheris.Setup(words, once, **options)
    atheris.Fuzz()


def _key(error):
    """Names a case by its kind and where in the package it arose."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "plankton_keras/" in each.filename]
    place = f"{Path(frames[-1].filename).stem}-{frames[-1].name.strip('<>')}-{frames[-1].lineno}" if frames else "check"
    return f"{getattr(error, 'kind', type(error).__name__)}-{place}"


if __name__ == "__main__":
    main()
