"""What goes wrong with a request, in one form: `{"error": {"code", "message", "field", "reference"}}` and a status of HTTP.

`code` is a word of CODES, `message` a sentence or, for what the mail road refuses, the very reply SMTP would have heard; `field` names what is wrong
in the request ('' where nothing is), `reference` finds it again: a message's id, or a word in the log of a fault of ours.
"""

from __future__ import annotations

import re
from typing import Any

from jetmail.mail.reply import Reply

# What each code means, and its status. docs/api.md lists them; a test compares.
CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "the request is no proper HTTP or JSON"),
    "unauthorized": (401, "no token, or none that counts: unknown, expired, revoked, or its SMTP user may not sign in"),
    "tls_required": (403, "tokens are only taken over TLS"),
    "address_not_allowed": (403, "the token is good, but not from this address"),
    "acl": (403, "the SMTP user may not send from this domain or address"),
    "lockdown": (403, "the domain's owner lets others send from it, not this SMTP user"),
    "abuse": (403, "this sender is blocked"),
    "spf_invalid": (403, "the domain's SPF record is not as is asked for"),
    "not_found": (404, "there is nothing here, or it is not yours to see"),
    "method_not_allowed": (405, "this address is asked in another way"),
    "conflict": (409, "a request with this Idempotency-Key is under way"),
    "too_large": (413, "more than is taken"),
    "unsupported": (415, "another content type is wanted"),
    "invalid": (422, "a field is wrong"),
    "key_reused": (422, "this Idempotency-Key was used for another request"),
    "spam": (422, "refused for its content"),
    "virus": (422, "it carries malware"),
    "suppressed": (422, "the recipient is on the suppression list"),
    "refused": (422, "refused for another reason, which the reply gives"),
    "rate_limited": (429, "too many requests, or the quota of the SMTP user is used up"),
    "internal": (500, "a fault of ours"),
    "unavailable": (503, "not now; the same request may fare better later"),
}

_WORD = re.compile(r"\[([A-Z_]{2,20})\]")
_REFERENCE = re.compile(r"[?&]id=([0-9a-f]{20})\b|\(ref ([0-9a-zA-Z]{1,40})\)")
_RETRY = 30


class Problem(Exception):
    """Raised by handlers; the guard answers it. `headers` go along."""

    def __init__(
        self, code: str, message: str, field: str = "", reference: str = "", headers: tuple[tuple[str, str], ...] = (), status: int = 0
    ) -> None:
        super().__init__(f"{code}: {field}: {message}")
        self.code = code
        self.message = message
        self.field = field
        self.reference = reference
        self.headers = headers
        self.status = status or CODES[code][0]

    @property
    def body(self) -> dict[str, Any]:
        """The form of the module."""
        return {"error": {"code": self.code, "message": self.message, "field": self.field, "reference": self.reference}}


def invalid(field: str, reason: str) -> Problem:
    """A field of the request is wrong."""
    return Problem("invalid", reason, field)


def later(code: str, message: str, seconds: float) -> Problem:
    """Come again after so many seconds."""
    return Problem(code, message, headers=(("Retry-After", str(max(1, round(seconds + 0.5)))),))


def of_reply(reply: Reply, retry_after: float = 0.0) -> Problem:
    """A refusal of the mail road, in its own words."""
    text = str(reply)
    found = _REFERENCE.search(text)
    reference = (found[1] or found[2]) if found else ""
    code = _code(reply)
    headers: tuple[tuple[str, str], ...] = ()
    if CODES[code][0] in (429, 503):
        headers = (("Retry-After", str(max(1, round((retry_after or _RETRY) + 0.5)))),)
    elif code == "unauthorized":
        headers = (("WWW-Authenticate", "Bearer"),)
    return Problem(code, text, "", reference, headers)


def _code(reply: Reply) -> str:
    if reply.is_transient:
        if reply.code == 421 and reply.enhanced == "4.7.1":
            return "rate_limited"  # the quota
        # 421 4.7.0: the login behind the token counts no more, which may have changed a moment ago.
        return "unauthorized" if reply.code == 421 and reply.enhanced == "4.7.0" else "unavailable"
    word = _WORD.search(reply.text)
    if word is not None and word[1].lower() in CODES:
        return word[1].lower()
    if reply.code == 552 or reply.enhanced == "5.3.4":
        return "too_large"
    return "acl" if reply.code == 553 else "refused"
