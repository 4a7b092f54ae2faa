"""Keeps back the start-up lines of TensorFlow, in every process that imports it for people to look at."""

import contextlib
import os
import sys


@contextlib.contextmanager
def no_noise():
    """Silences what TensorFlow's C++ says, and its start-up lines, which no setting of its own keeps back.

    To be put around what imports it first. PLANKTON_DEBUG=1 shows them.
    """
    if os.environ.get("PLANKTON_DEBUG") == "1" or "tensorflow" in sys.modules:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
