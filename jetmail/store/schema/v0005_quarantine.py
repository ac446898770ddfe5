"""Migration 5: the quarantine.

What is kept for people to decide about is a delivery that is not finished: 'quarantined', or 'spam' of a domain that keeps a copy of what it refused
(`keep_spam`). Once released it is 'queued'; once deleted or expired it is finished and keeps its word.
"""

from __future__ import annotations

SQL = """
ALTER TABLE domains ADD COLUMN keep_spam INTEGER NOT NULL DEFAULT 0;  -- 1: what is refused for its score is stored, for the domain's owner to release
CREATE INDEX deliveries_kept ON deliveries (id) WHERE finished IS NULL AND status IN ('quarantined', 'spam');
"""
