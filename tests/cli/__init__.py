"""Tests of the command line, run in this process with captured output."""
