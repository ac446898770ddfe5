"""Tests, room by room; docs/testing.md says how to run them."""
