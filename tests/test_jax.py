"""The same command trains under JAX, and what it trained is evaluated and exported under TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="the extra jax is not installed"),
]


def plankton(*words, **environment):
    words = [sys.executable, "-m", "plankton_keras", *(str(word) for word in words), "--json", "--quiet"]
    said = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return json.loads(said.stdout)


def test_a_run_trained_under_jax_is_used_like_any_other(tiny_scans, tiny_records, tmp_path):
    small = (
        "--width",
        4,
        "--depth",
        2,
        "--epochs",
        3,
        "--steps-per-epoch",
        40,
        "--window",
        64,
        "--learning-rate",
        0.02,
    )
    plankton("train", tiny_records, "--out", tmp_path / "run", *small, KERAS_BACKEND="jax")
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["backend"] == "jax"
    scores = plankton("evaluate", tmp_path / "run", tiny_scans, "--out", tmp_path / "evaluation")
    assert scores["pixel"]["f1"] > 0.95
    assert plankton("export", tmp_path / "run", "--out", tmp_path / "export")["max_difference"] <= 1e-4


def test_a_run_cut_under_jax_goes_on_to_the_same_history(tiny_records, tmp_path):
    small = ("--width", 4, "--depth", 2, "--steps-per-epoch", 3, "--window", 64)
    whole = plankton("train", tiny_records, "--out", tmp_path / "whole", *small, "--epochs", 4, KERAS_BACKEND="jax")
    code = """
import sys
from plankton_keras import training
real = training.History.append
def append(self, *row):
    real(self, *row)
    if len(self.rows) == 2:
        raise SystemExit(9)
training.History.append = append
from plankton_keras.cli import main
main(sys.argv[1:])
"""
    words = ["train", tiny_records, "--out", tmp_path / "cut", *small, "--epochs", 4]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    dead = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=environment, capture_output=True, check=False
    )
    assert dead.returncode == 9
    again = plankton(*words, "--resume", KERAS_BACKEND="jax")
    assert again["val"] == whole["val"]
