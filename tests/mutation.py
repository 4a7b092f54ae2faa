"""Changes a module in one small way at a time, and counts the changes that its tests notice.

    make mutation MODULES='tiles ecology/slopes'        # or without MODULES: all of TARGETS

The changes are those of mutmut (a sign, a comparison, a number, a text, an argument left out, ...). What is around them
is not mutmut's: a process that has imported what is heavy is forked for each change, since to import Keras takes longer
than to test; doctests and properties count as well. No change is written to a file.
"""

import argparse
import contextlib
import difflib
import importlib
import importlib.util
import io
import itertools
import os
import random
import resource
import sys
import time
from pathlib import Path

import libcst
import pytest
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[1]
# The tests of each module beside its own doctests; those that repeat an experiment 100 times would take too long.
TARGETS = {
    "tiles": ["tests/test_tiles.py"],
    "patches": ["tests/test_patches.py", "tests/test_folds.py"],
    "schema": ["tests/test_schema.py"],
    "metrics": ["tests/test_metrics.py"],
    "ecology/adjusting": ["tests/test_ecology.py"],
    "ecology/abundance": ["tests/test_ecology.py"],
    "ecology/resampling": ["tests/test_ecology.py"],
    "ecology/slopes": ["tests/test_spectra.py"],
    "ecology/spectra": ["tests/test_spectra.py"],
}
LEFT_OUT = "not 100_samples and not one_slope"
WARM = ["cv2", "numpy.testing", "scipy.integrate", "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.metrics"]
SECONDS = 30
BYTES = 4 << 30


class Changes(libcst.CSTVisitor):
    """Lists the nodes that mutmut changes, and what they become."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_visit(self, node):
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.found += [(node, other) for other in operator(node)]
        return not isinstance(node, (libcst.Annotation, libcst.Decorator))


def install(name, path, source):
    """Imports a module from a text instead of its file."""
    parent, _, own = name.rpartition(".")
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path))
    setattr(importlib.import_module(parent), own, module)
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)


def mutants(source, seed):
    """Gives the texts of the module with one change each, numbered, in an order drawn by the seed."""
    module, changes = libcst.parse_module(source), Changes()
    module.visit(changes)
    seen = {source}
    for number in random.Random(seed).sample(range(len(changes.found)), len(changes.found)):
        text = module.deep_replace(*changes.found[number]).code
        with contextlib.suppress(SyntaxError):
            compile(text, "mutant", "exec")
            if text not in seen:
                seen.add(text)
                yield text


def survives(target, source):
    """Tells whether the tests of a module pass with another text of it; too long or too large is a failure."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    status = 1
    try:
        path = ROOT / "plankton_keras" / f"{target}.py"
        install(f"plankton_keras.{target.replace('/', '.')}", path, source)
        options = ["-x", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-k", LEFT_OUT, "-m", "not slow"]
        status = pytest.main([*options, str(path), *TARGETS[target]])
    finally:
        os._exit(status)


def run(target, most, seed, numbers):
    """Prints the changes of one module that nobody notices, and the sums."""
    source = (ROOT / "plankton_keras" / f"{target}.py").read_text()
    if not survives(target, source):
        sys.exit(f"the tests of {target} fail without any change")
    total = alive = 0
    begin = time.monotonic()
    for place, text in enumerate(itertools.islice(mutants(source, seed), most)):
        if numbers and place not in numbers:
            continue
        total += 1
        unseen = survives(target, text)
        print(".S"[unseen], end="", file=sys.stderr, flush=True)
        if unseen:
            alive += 1
            lines = difflib.unified_diff(source.splitlines(), text.splitlines(), n=0, lineterm="")
            print(f"{target} {place} survives", *list(lines)[2:], sep="\n", flush=True)
    print(f"{target}: {total - alive} of {total} killed in {time.monotonic() - begin:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="MODULE", help=", ".join(TARGETS))
    parser.add_argument("--most", type=int, default=150, help="changes of a module at most (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="which changes are drawn (default: 0)")
    parser.add_argument("--numbers", type=int, nargs="*", help="these of the changes drawn only")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    targets = options.targets or list(TARGETS)
    for name in WARM + ["keras"] * ("metrics" in targets):
        importlib.import_module(name)
    # Its own plugins are loaded where it has nothing to test; others are not needed.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-p", "no:cacheprovider", "docs"])
    for target in targets:
        run(target, options.most, options.seed, options.numbers)


if __name__ == "__main__":
    main()
