"""One thing `jetmail check` has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `file` where, `key` which setting, `reason` what is wrong and what would be right. A warning does not keep mail from
    being taken and delivered today."""

    file: str
    key: str
    reason: str
    is_warning: bool = False


def from_text(text: str) -> Problem:
    """A line of a ConfigError ('file: key: reason') as a problem."""
    file, _, rest = text.partition(": ")
    key, colon, reason = rest.partition(": ")
    return Problem(file, key, reason) if colon else Problem(file, "file", rest)
