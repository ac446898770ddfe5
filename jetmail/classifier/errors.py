"""What can go wrong with learnt things: octets that are not what was written."""

from __future__ import annotations

from jetmail.errors import JetmailError


class DamagedError(JetmailError):
    """A model, an overlay or a set of features does not read back: cut short, altered, of another version. Nothing of it is used."""
