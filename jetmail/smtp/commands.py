"""MAIL and RCPT as octets, with the parameters a peer understands and no others (RFC 5321 4.1.1.2-3, 1870, 3461, 6152, 6531, 8689).

Raises UnsafeValue when a value would break out of its line; values come from our own parser, so that means a damaged store.
"""

from __future__ import annotations

import re

from jetmail.smtp.extensions import Extensions

_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_XTEXT = re.compile(r"[^!-*,-<>-~]")  # RFC 3461 4: what must be written as +XX


class UnsafeValue(ValueError):
    """An address or parameter holds a control character."""


def mail(
    sender: str,
    extensions: Extensions,
    *,
    size: int = 0,
    eightbit: bool = False,
    smtputf8: bool = False,
    ret: str = "",
    envid: str = "",
    requiretls: bool = False,
) -> bytes:
    """MAIL FROM. `sender` '' is the null sender. What the peer does not offer is left out; whether the mail may go without is the caller's to
    know."""
    line = f"MAIL FROM:<{sender}>"
    if size and extensions.size is not None:
        line += f" SIZE={size}"
    if eightbit and extensions.eightbit:
        line += " BODY=8BITMIME"
    if smtputf8 and extensions.smtputf8:
        line += " SMTPUTF8"
    if requiretls and extensions.requiretls:
        line += " REQUIRETLS"
    if extensions.dsn:
        if ret:
            line += f" RET={ret}"
        if envid:
            line += f" ENVID={envid}"
    return _octets(line)


def rcpt(recipient: str, extensions: Extensions, *, notify: str = "", orcpt: str = "") -> bytes:
    """RCPT TO. `orcpt` in wire form ('rfc822;xtext')."""
    line = f"RCPT TO:<{recipient}>"
    if extensions.dsn:
        if notify:
            line += f" NOTIFY={notify}"
        if orcpt:
            line += f" ORCPT={orcpt}"
    return _octets(line)


def xtext(text: str) -> str:
    """ASCII text as an ENVID or ORCPT carries it (RFC 3461 4)."""
    return _XTEXT.sub(lambda found: f"+{ord(found[0]):02X}", text)


def _octets(line: str) -> bytes:
    if _UNSAFE.search(line):
        raise UnsafeValue("control character in an envelope value")
    return line.encode() + b"\r\n"
