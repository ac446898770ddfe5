"""Tests of jetmail/actions."""
