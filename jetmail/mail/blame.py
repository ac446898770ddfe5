"""What a refusal for good says of the address it was about: that there is no such address, that it is refused, or nothing (RFC 3463, RFC 5321 4.2.3).

Pure, total, and the same for replies we hear ourselves and for those a report from elsewhere quotes. What is refused for its content, its sender,
our reputation, a policy (5.7.x) or a full mailbox (5.2.2) says nothing of the address: tomorrow's mail may well be taken. Where hosts contradict
themselves the enhanced code is believed before the text, and of the text the words that speak of something else before those about the address.
"""

from __future__ import annotations

import re
from enum import StrEnum

from jetmail.mail.reply import Reply


class Blame(StrEnum):
    """GONE: there is no such address. REFUSED: it is refused, and why cannot be told. ELSEWHERE: it is not the address's fault, or not for good."""

    GONE = "gone"
    REFUSED = "refused"
    ELSEWHERE = "elsewhere"


MAX_TEXT = 1_000  # characters of a reply that are looked at
_GONE = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
_ELSEWHERE = frozenset({"5.1.7", "5.1.8", "5.1.9", "5.2.2", "5.2.3"})  # the sender's address, a full mailbox, a long message
_CODES = frozenset({550, 551, 553, 556})  # about a mailbox; 552 is size and quota, 554 the transaction

_OTHER = re.compile(
    r"\b(?:full|over ?quota|quota|storage|exceed\w*|too (?:many|large|big|long|much)|size|spam\w*|ube|junk|virus\w*|malware|content|polic(?:y|ies)"
    r"|block(?:ed|list\w*|ing)|black ?list\w*|listed|dns[bw]l|[dr]bl|reputation|dmarc|spf|dkim|un?auth\w*|authenti\w+|authori[sz]\w+|grey ?list\w*"
    r"|relay\w*|sender|reverse dns|r?dns|ptr|your (?:ip|host|server|mail|domain|network|message)|ip address|rate|limit\w*|denied|tim(?:ed? ?out|eout)"
    r"|expired|message (?:was |has been )?(?:rejected|refused|blocked))\b"
)
_NOBODY = re.compile(
    r"\b(?:unknown (?:user|recipient|mailbox|address|account|local)|(?:user|recipient|mailbox|address|account) (?:is )?unknown"
    r"|no such (?:user|recipient|mailbox|address|account|person|domain|local)|no mailbox|invalid (?:user|recipient|mailbox|address)"
    r"|not (?:a )?valid (?:user|recipient|mailbox|address)|unrouteable address|host unknown|unknown host"
    r"|(?:user|recipient|mailbox|address|account|domain|name)\b.{0,80}\b(?:not exist|n't exist|not found|no longer|not known|discontinued|unknown))\b"
)


def blame(reply: Reply) -> Blame:
    """What the reply says of the address."""
    if not reply.is_permanent:
        return Blame.ELSEWHERE
    text = " ".join(reply.text[:MAX_TEXT].lower().split())
    kind = reply.enhanced
    if kind in _ELSEWHERE or kind.startswith("5.7."):
        return Blame.ELSEWHERE
    if kind in _GONE:
        return Blame.ELSEWHERE if "sender" in text else Blame.GONE
    if kind == "5.4.1" and "recipient address rejected" in text:  # how Exchange Online says that it does not know an address
        return Blame.GONE
    if _OTHER.search(text):
        return Blame.ELSEWHERE
    if _NOBODY.search(text):
        return Blame.GONE
    if kind.startswith(("5.3.", "5.4.", "5.5.", "5.6.")):
        return Blame.ELSEWHERE
    return Blame.REFUSED if reply.code in _CODES or kind.startswith(("5.1.", "5.2.")) else Blame.ELSEWHERE
