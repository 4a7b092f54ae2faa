"""Readers against bytes that nobody meant: `readers` names them, `run` searches, `corpus/` keeps what was found.

`python -m tests.fuzz.run NAME --seconds 600` needs `atheris`, which is in none of the extras (docs/guards.md, Fuzzing).
"""
