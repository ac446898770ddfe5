"""Tests of jetmail/mail."""
