"""How fast, how small, how soon: measured against a peer in the same run on the same machine (docs/performance.md)."""
