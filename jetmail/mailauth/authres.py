"""Authentication-Results and Received-SPF (RFC 8601, RFC 7208 9.1): written, recognised as ours, and read where somebody we trust wrote them.

Everything a stranger chose is made a token or a quoted string before it is written, ASCII only; no value can end a field or begin a new result.
Reading takes comments, quoted strings and folding as RFC 8601 2.2 has them, in one pass. Nothing is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from jetmail.mailauth.arc import Arc, ArcResult
from jetmail.mailauth.dkim import Dkim
from jetmail.mailauth.dmarc import Dmarc, DmarcPolicy
from jetmail.mailauth.iprev import Iprev
from jetmail.mailauth.spf import Spf

MAX_VALUE = 320
MAX_READ = 16_384

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+(?:@[A-Za-z0-9.-]+)?")  # RFC 2045 5.1, or a mailbox
_UNSAFE = re.compile(r"[^ -~]")
_COMMENT = re.compile(r"[()\\]")
_WORD = re.compile(rb'[^\s;()"=]+')
_PLACE = re.compile(rb"[ \t\r\n]*")
_TOLD = re.compile(rb"[^()\\]+")  # inside a comment


def results(authserv_id: str, spf: Spf | None, iprev: Iprev | None, dkim: Sequence[Dkim], arc: Arc | None, dmarc: Dmarc | None, ip: str) -> str:
    """What stands behind `Authentication-Results:`, folded by CRLF and tab, without a final line end."""
    items: list[str] = []
    if spf is not None:
        items.append(_item("spf", spf.result.value, spf.problem, (f"smtp.{spf.identity}", spf.domain)))
    for each in dkim:
        reason = each.reason or ("testing key" if each.testing else "") or ("" if each.covers_body else "l= leaves part of the body unsigned")
        what = f"{each.bits}-bit key" if each.bits else ""
        items.append(
            _item("dkim", each.result.value, ", ".join(filter(None, (reason, what))), ("header.d", each.domain), ("header.s", each.selector),
                  ("header.a", each.algorithm), ("header.b", each.start))
        )  # fmt: skip
    if not dkim:
        items.append("dkim=none")
    if arc is not None and (arc.result is not ArcResult.NONE or arc.count):
        items.append(_item("arc", arc.result.value, arc.reason, *_sealer(arc)))
    if dmarc is not None:
        policy = f"p={dmarc.policy.name.lower()}" if dmarc.policy_domain and dmarc.result.value in ("pass", "fail") else ""
        asked = f"disposition={dmarc.disposition.name.lower()}" if dmarc.disposition is not DmarcPolicy.NONE else ""
        items.append(_item("dmarc", dmarc.result.value, " ".join(filter(None, (policy, asked, dmarc.reason))), ("header.from", dmarc.domain)))
    if iprev is not None:
        items.append(_item("iprev", iprev.result.value, iprev.name, ("policy.iprev", ip)))
    return ";\r\n\t".join([authserv_id, *items])


def received_spf(authserv_id: str, spf: Spf, ip: str, helo: str, sender: str) -> str:
    """A whole Received-SPF field without its final line end."""
    pairs = [("receiver", authserv_id), ("client-ip", ip), ("helo", helo), ("envelope-from", sender), ("identity", spf.identity)]
    if spf.mechanism:
        pairs.append(("mechanism", spf.mechanism))
    if spf.problem:
        pairs.append(("problem", spf.problem))
    told = _comment(spf.domain or "no domain")
    values = ";\r\n\t".join(f"{name}={_value(value)}" for name, value in pairs)
    return f"Received-SPF: {spf.result.value} ({authserv_id}: policy of {told})\r\n\t{values}"


def is_forged(name: bytes, raw: bytes, authserv_id: str) -> bool:
    """Whether a field that came in claims to be written by us: to be removed on the way in (RFC 8601 5). `name` in lower case. All of the field is
    read: what stands behind more octets than we care to look at would still be read by those behind us."""
    mine = authserv_id.lower().encode("ascii", "replace")
    if mine not in raw.replace(b"\\", b"").lower():
        return False
    value = raw.partition(b":")[2]
    if name == b"authentication-results":
        return _is_name(_identity(value)[0].encode("utf-8", "replace"), mine)
    if name == b"received-spf":
        if re.search(rb"\([ \t\r\n]*" + re.escape(mine) + rb"\.?[ \t\r\n]*:", value.lower()):
            return True
        words = [word for item in _split(value) for word in (*item, b";")]
        return any(
            key.lower() == b"receiver" and equals == b"=" and _is_name(name, mine)
            for key, equals, name in zip(words, words[1:], words[2:], strict=False)
        )
    return False


def _is_name(word: bytes, mine: bytes) -> bool:
    return word.replace(b"\\", b"").strip().lower().removesuffix(b".") == mine


def methods(value: bytes) -> list[tuple[str, str]]:
    """(method, result) of each result in the value of a results field, in order: [('spf', 'pass'), ('dkim', 'fail'), ...]."""
    _, rest = _identity(value[:MAX_READ])
    found = []
    for item in _split(rest):
        words = item[:3]
        if len(words) == 3 and words[1] == b"=":
            method = words[0].partition(b"/")[0]
            found.append((method.decode("ascii", "replace").lower(), words[2].decode("ascii", "replace").lower()))
    return found


def _identity(value: bytes) -> tuple[str, bytes]:
    """The authserv-id, and what follows it."""
    position = _skip(value, 0)
    if value[position : position + 1] == b'"':
        end = _quoted(value, position)
        return value[position + 1 : end - 1].replace(b"\\", b"").decode("utf-8", "replace").strip(), value[end:]
    word = _WORD.match(value, position)
    return (word[0].decode("utf-8", "replace"), value[word.end() :]) if word else ("", value[position:])


def _split(value: bytes) -> list[list[bytes]]:
    """Words between semicolons, comments gone, quoted strings one word."""
    items: list[list[bytes]] = [[]]
    position = 0
    while (position := _skip(value, position)) < len(value):
        char = value[position : position + 1]
        if char == b";":
            items.append([])
            position += 1
        elif char == b'"':
            end = _quoted(value, position)
            items[-1].append(value[position + 1 : end - 1])
            position = end
        elif char == b"=":
            items[-1].append(char)
            position += 1
        elif word := _WORD.match(value, position):
            items[-1].append(word[0])
            position = word.end()
        else:
            position += 1
    return items


def _skip(value: bytes, position: int) -> int:
    """Past white space and comments, which nest."""
    depth = 0
    while position < len(value):
        if not depth:
            found = _PLACE.match(value, position)
            position = found.end() if found else position
        char = value[position : position + 1]
        if char == b"(":
            depth += 1
        elif not depth:
            return position
        elif told := _TOLD.match(value, position):
            position = told.end()
            continue
        elif char == b")":
            depth -= 1
        elif char == b"\\":
            position += 1
        position += 1
    return len(value)


def _quoted(value: bytes, position: int) -> int:
    """The place behind a quoted string that begins at `position`."""
    position += 1
    while position < len(value):
        char = value[position : position + 1]
        if char == b'"':
            return position + 1
        position += 2 if char == b"\\" else 1
    return len(value)


def _sealer(arc: Arc) -> Iterable[tuple[str, str]]:
    return [("header.d", arc.links[-1].sealer)] if arc.links else []


def _item(method: str, result: str, told: str, *properties: tuple[str, str]) -> str:
    told = f" ({_comment(told)})" if told else ""
    return f"{method}={result}{told}" + "".join(f" {name}={_value(value)}" for name, value in properties if value)


def _comment(text: str) -> str:
    return _COMMENT.sub("", _UNSAFE.sub("?", text))[:MAX_VALUE]


def _value(text: str) -> str:
    text = _UNSAFE.sub("?", text)[:MAX_VALUE]
    if _TOKEN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
