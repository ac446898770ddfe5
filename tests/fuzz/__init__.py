"""Octets nobody meant well, given to every parser that touches what strangers send: `python -m tests.fuzz` (docs/fuzzing.md)."""
