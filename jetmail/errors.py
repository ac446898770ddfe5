"""What can go wrong, sorted by who must act.

Expected results of a conversation (a refusal, a deferral) are values: see mail.reply, mail.outcome and rules.verdict. The classes here are for
what is not a conversation: a setting that makes no sense, a command that asks for the impossible, a part of ours that failed.

Each carries a sentence fit for the person who must act; none of them is ever shown to a stranger on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence


class JetmailError(Exception):
    """Root of the errors this project raises on purpose."""


class ConfigError(JetmailError):
    """The sysadmin must act: a file in etc/ is wrong. `problems` lists every fault at once as 'file: key: reason'."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: tuple[str, ...] = tuple(problems)


class UsageError(JetmailError):
    """The caller of an action must act: a field is wrong. Names the field and the reason; nothing was changed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFoundError(JetmailError):
    """The object does not exist, or is out of the caller's scope, which must look the same."""


class ConflictError(JetmailError):
    """The object is in a state that does not allow this (a second release, a domain that exists)."""


class StoreError(JetmailError):
    """The store cannot do its work now (disk full, read-only, locked, closed). Mail in hand is answered 4xx."""


class SchemaError(StoreError):
    """The store is newer than this program, or its migration failed; the file is untouched."""


class ContentMissingError(StoreError):
    """A message's content is gone or damaged (spool file lost, size differs): set aside visibly, never sent, never looped."""
