"""The envelope: what MAIL and RCPT said (RFC 5321, 3461, 6152, 6531, 8689), apart from what the header claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jetmail.mail.address import Address


class Sender(NamedTuple):
    """MAIL FROM. `address` None is the null sender `<>`. `size` is the declared one or None. `body` is '7BIT' or '8BITMIME'. `ret` is 'FULL', 'HDRS'
    or ''."""

    address: Address | None
    size: int | None = None
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    requiretls: bool = False
    auth: str = ""

    def __str__(self) -> str:
        return str(self.address) if self.address else ""


class Recipient(NamedTuple):
    """RCPT TO. `notify` is '' (absent) or 'NEVER' or a comma list of SUCCESS, FAILURE, DELAY in that order; `orcpt` as received ('rfc822;xtext')
    or ''."""

    address: Address
    notify: str = ""
    orcpt: str = ""

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One sender, one or more recipients: one mail transaction."""

    sender: Sender
    recipients: tuple[Recipient, ...]
