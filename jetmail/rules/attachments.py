"""Which attachments a domain does not want, made ready for the rule that looks (rules.checks.attachment_policy).

Stored as JSON: {"action": "reject" | "quarantine" | "off", "types": [...], "extensions": [...], "archives": true, "locked": false}. `types` are
families
of mail.filetype ("program", "script", "archive", "macro" ...), by what a file is, whatever its name; "macro" is any document with a program in it.
Everything is optional. UsageError names what is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jetmail.errors import UsageError
from jetmail.mail import filetype

ACTIONS = ("reject", "quarantine", "off")
TYPES = (*(family for family in filetype.FAMILIES if family != "unknown"), "macro")
DANGEROUS = ("program", "script", "shortcut", "disk-image")
MAX_EXTENSIONS = 500
_KEYS = {"action", "types", "extensions", "archives", "locked"}
_EXTENSION = re.compile(r"[a-z0-9][a-z0-9+_~-]{0,15}")


@dataclass(frozen=True, slots=True)
class AttachmentPolicy:
    """`types` and `extensions` that are not wanted; `archives`: nor within archives; `locked`: nor what needs a password to be looked into.
    `action` as above."""

    action: str = "off"
    types: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    archives: bool = True
    locked: bool = False

    def __bool__(self) -> bool:
        return self.action != "off" and bool(self.types or self.extensions or self.locked)

    def stored(self) -> dict[str, Any]:
        """As it is kept in the directory."""
        return {
            "action": self.action,
            "types": sorted(self.types),
            "extensions": sorted(self.extensions),
            "archives": self.archives,
            "locked": self.locked,
        }


NO_ATTACHMENT_POLICY = AttachmentPolicy()


def parse(stored: Any) -> AttachmentPolicy:
    """The policy of stored or given JSON. Raises UsageError."""
    if not isinstance(stored, Mapping):
        raise UsageError("attachments", "must be an object")
    for key in stored:
        if key not in _KEYS:
            raise UsageError(str(key), f"is none of {', '.join(sorted(_KEYS))}")
    action = stored.get("action", "reject")
    if action not in ACTIONS:
        raise UsageError("action", f"'{action}' is none of {', '.join(ACTIONS)}")
    types = _words("types", stored.get("types", []))
    for word in types:
        if word not in TYPES:
            raise UsageError("types", f"'{word}' is none of {', '.join(TYPES)}")
    extensions = {word.removeprefix("*").removeprefix(".") for word in _words("extensions", stored.get("extensions", []))}
    for word in extensions:
        if not _EXTENSION.fullmatch(word):
            raise UsageError("extensions", f"'{word[:40]}' is no extension such as exe")
    if len(extensions) > MAX_EXTENSIONS:
        raise UsageError("extensions", f"more than {MAX_EXTENSIONS}")
    for key in ("archives", "locked"):
        if not isinstance(stored.get(key, True), bool):
            raise UsageError(key, "must be true or false")
    return AttachmentPolicy(action, frozenset(types), frozenset(extensions), stored.get("archives", True), stored.get("locked", False))


def _words(key: str, given: Any) -> list[str]:
    if not isinstance(given, list | tuple) or not all(isinstance(word, str) for word in given):
        raise UsageError(key, "must be a list of words")
    return [word.strip().lower() for word in given if word.strip()]
