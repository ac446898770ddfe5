"""Tests of jetmail/inbound."""
