"""Tests of the authentication algorithms."""
