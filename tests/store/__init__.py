"""Tests of jetmail/store."""
