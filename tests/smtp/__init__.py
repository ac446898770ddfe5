"""Tests of the SMTP grammar."""
