"""Tests of the sending side."""
