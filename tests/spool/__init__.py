"""Tests of jetmail/spool."""
