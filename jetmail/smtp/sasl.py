"""The two password mechanisms of AUTH as a conversation (RFC 4954, RFC 4616; LOGIN as everybody does it): one object per attempt, no I/O.

`step(response)` takes the client's base64 line and returns what comes next: bytes to prompt with (a whole 334 line), Credentials, or the Reply that
ends the attempt.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from jetmail.mail.reply import Reply
from jetmail.smtp import answers

MECHANISMS = ("PLAIN", "LOGIN")

_PROMPT = b"334 \r\n"
_PROMPT_USERNAME = b"334 " + base64.b64encode(b"Username:") + b"\r\n"
_PROMPT_PASSWORD = b"334 " + base64.b64encode(b"Password:") + b"\r\n"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client claims; the password is never shown."""

    mechanism: str
    username: str
    password: str = field(repr=False)


class Exchange:
    """One AUTH attempt."""

    __slots__ = ("_username", "mechanism")

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._username: str | None = None

    def begin(self, initial: bytes | None) -> bytes | Credentials | Reply:
        """Right after the AUTH command."""
        if initial is not None:
            # RFC 4954 4: '=' is an initial response of no octets.
            return self.step(b"" if initial == b"=" else initial)
        return _PROMPT if self.mechanism == "PLAIN" else _PROMPT_USERNAME

    def step(self, response: bytes) -> bytes | Credentials | Reply:
        """The client's next line."""
        if response == b"*":
            return answers.AUTH_CANCELLED
        try:
            text = base64.b64decode(response, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return answers.AUTH_MALFORMED
        return self._plain(text) if self.mechanism == "PLAIN" else self._login(text)

    def _plain(self, text: str) -> Credentials | Reply:
        parts = text.split("\0")
        if len(parts) != 3 or not parts[1]:
            return answers.AUTH_MALFORMED
        acting_as, username, password = parts
        # RFC 4616 2: nobody may act as someone else here.
        return Credentials("PLAIN", username, password) if acting_as in ("", username) else answers.AUTH_FAILED

    def _login(self, text: str) -> bytes | Credentials | Reply:
        if "\0" in text:
            return answers.AUTH_MALFORMED
        if self._username is None:
            if not text:
                return answers.AUTH_MALFORMED
            self._username = text
            return _PROMPT_PASSWORD
        return Credentials("LOGIN", self._username, text)
