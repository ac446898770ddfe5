"""Migration 6: whether a domain does what the domains of authors ask for by DMARC."""

from __future__ import annotations

SQL = """
ALTER TABLE domains ADD COLUMN dmarc TEXT NOT NULL DEFAULT 'enforce' CHECK (dmarc IN ('enforce', 'score', 'ignore'));
"""
