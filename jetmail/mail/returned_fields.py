"""The machine-readable parts of what comes back: groups of fields as RFC 3464 (delivery status) and RFC 5965 (feedback) have them, as values.

Total over any text: unknown fields are skipped, damaged ones are empty, groups and recipients are capped. MTAs put the recipient's fields in any
order, angle brackets and routes around addresses, comments behind status codes; that is read, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_RECIPIENTS = 100
MAX_LINES = 5_000
MAX_VALUE = 1_000
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,40})[ \t]*:(.*)")
_ADDRESS = re.compile(r"<?([^\s<>;,\"|]{1,128}@[^\s<>;,\"|]{1,253}?)[>.,;:]*(?:$|[\s>;,|])")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?:^|[\s;:(\[#])([245]\d\d)(?=[ \-\t])")


class Recipient(NamedTuple):
    """One recipient as a report speaks of it. `address`: the final recipient; `original`: the address the sender used, '' when not said; `action`:
    failed, delayed, delivered, relayed or expanded; `status`: enhanced code; `diagnostic`: what was said; `remote_mta`: by whom; `word`: one of
    returned_words.WORDS."""

    address: str
    original: str = ""
    action: str = ""
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    word: str = ""


Fields = dict[str, list[str]]


def groups(text: str) -> list[Fields]:
    """Blocks of fields parted by empty lines: lower-case name -> values, unfolded."""
    found: list[Fields] = []
    current: Fields = {}
    last: list[str] | None = None
    for line in text.split("\n")[:MAX_LINES]:
        line = line.rstrip("\r")
        if not line.strip():
            if current:
                found.append(current)
            current, last = {}, None
        elif line[0] in " \t" and last is not None:
            if len(last[-1]) < MAX_VALUE:
                last[-1] += " " + line.strip()[:MAX_VALUE]
        elif field := _NAME.match(line):
            last = current.setdefault(field[1].lower(), [])
            last.append(field[2].strip()[:MAX_VALUE])
            if len(last) > MAX_RECIPIENTS:
                last.pop()
        elif last is not None and len(last[-1]) < MAX_VALUE:
            last[-1] += " " + line.strip()[:MAX_VALUE]  # a value its writer forgot to fold
    if current:
        found.append(current)
    return found


def typed(value: str) -> str:
    """`rfc822; value` -> value."""
    kind, semicolon, rest = value.partition(";")
    return rest.strip() if semicolon and re.fullmatch(r"[\w/-]{1,40}", kind.strip()) else value.strip()


def address_of(value: str) -> str:
    """The address in a typed field; '' when there is none. A source route goes; what is no address at all but names somebody stays as it is."""
    text = typed(value).strip()
    if text.startswith("@") and ":" in text:
        text = text.partition(":")[2]
    if quoted := re.fullmatch(r'<?("[^"<>]{1,64}"@[^\s<>"]{1,253})>?', text):
        return quoted[1]
    if text[:1] in '|/"':
        found = _ADDRESS.search(" " + text)
        return found[1] if found else ""
    inner = re.search(r"<([^<>]*)>", text)
    if inner:
        text = inner[1].strip()
    text = text.split(" ")[0].strip("<>,;'\"")
    return text[:320] if "@" in text else ""


def status_in(text: str) -> str:
    """The first enhanced code in a text."""
    found = _STATUS.search(text[:MAX_VALUE])
    return found[1] if found else ""


def code_in(text: str) -> str:
    """The first SMTP reply code in a text that is followed by more."""
    found = _CODE.search(text[:MAX_VALUE])
    return found[1] if found else ""


ACTIONS = {
    "failed": "failed", "failure": "failed", "fail": "failed", "permanent": "failed", "undeliverable": "failed", "deferred": "delayed",
    "delayed": "delayed", "delay": "delayed", "expired": "failed", "error": "failed", "delivered": "delivered", "deliverable": "delivered",
    "deliverable-probe": "delivered", "relayed": "relayed", "expanded": "expanded",
}  # fmt: skip


def recipients(blocks: Iterable[Fields]) -> list[Recipient]:
    """The recipients of a delivery status; a block without a recipient belongs to the message, or to the recipient before it."""
    found: list[Recipient] = []
    waiting: Fields = {}
    for block in blocks:
        finals = block.get("final-recipient") or block.get("original-recipient") or block.get("x-actual-recipient")
        if not finals:
            waiting |= {name: values for name, values in block.items() if name in ("action", "status", "diagnostic-code", "remote-mta")}
            if found and waiting.get("action") and not found[-1].action:  # a group torn in two
                found[-1] = _recipient({**waiting, "final-recipient": [found[-1].address]}, found[-1].address)
                waiting = {}
            continue
        address = address_of(finals[0])
        for other in ("original-recipient", "x-actual-recipient"):
            if not address and block.get(other):
                address = address_of(block[other][0])
        if not address:
            continue
        if waiting.get("action") and "action" not in block:
            block = {**waiting, **block}
        waiting = {}
        found.append(_recipient(block, address))
        if len(found) >= MAX_RECIPIENTS:
            break
    return found


def _recipient(block: Fields, address: str) -> Recipient:
    action = _first(block, "action").split(" ")[0].strip("()").lower()
    diagnostic = _best([typed(value) for value in block.get("diagnostic-code", ())])
    given = _first(block, "status")
    status = status_in(given)
    said = status_in(diagnostic)
    if said and (not status or (status.endswith(".0.0") and said[0] == status[0])):
        status = said
    remote = typed(_first(block, "remote-mta"))
    original = address_of(_first(block, "original-recipient"))
    if "(" in given and not diagnostic:
        diagnostic = given.partition("(")[2].rstrip(") ")
    known = ACTIONS.get(action, "failed" if status.startswith("5") else "delayed" if status.startswith("4") and action else action and "failed")
    return Recipient(address, original, known, status, diagnostic, remote.split(" ")[0].strip("[]()") if remote else "")


def _first(block: Fields, name: str) -> str:
    return block.get(name, [""])[0]


def _best(values: Sequence[str]) -> str:
    return next((value for value in values if code_in(" " + value) or status_in(value)), values[0] if values else "")
