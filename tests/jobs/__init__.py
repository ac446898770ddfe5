"""Tests of jetmail/jobs."""
