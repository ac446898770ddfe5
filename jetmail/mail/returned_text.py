"""Notices written for people by MTAs that know no RFC 3464 (qmail, old Exim and Sendmail, Exchange, mail gateways, phone companies): who was not
reached and why, read from their wording.

There is no grammar to it. What nearly all of them share: the address stands at the beginning of a line of its own, or behind words like "deliver to";
what was said follows it; the original message comes after a line that says so. Whatever does not look like that is left alone. Lines and recipients
are capped, each line is looked at a fixed number of times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jetmail.mail.returned_fields import MAX_RECIPIENTS, Recipient, code_in, status_in
from jetmail.mail.returned_words import status_for, word_of

MAX_LINES = 1_000
MAX_LINE = 1_000
MAX_DIAGNOSTIC = 1_000

_ADDR = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}@[A-Za-z0-9_.-]{1,252}[A-Za-z0-9]"
_MARKER = re.compile(
    r"^[>\s]*[-=*_ ]*(?:this is a copy of|below this line is|(?:below is|enclosed is|included is) a copy|original message\b|"
    r"the header of the original|"
    r"message headers? follow|unsent message follows|returned message|undelivered message|original message (?:headers|follows)|"
    r"copy of (?:the |your )?message|begin message|message header|failed message headers|original-message)[^@]{0,80}$",
    re.I,
)
_FIELD = re.compile(r"^(?:received: ?(?:from|by|\()|return-path: ?<|x-originating-ip: ?\[|dkim-signature: ?v=|message-id: ?<)", re.I)
_LINE = re.compile(rf"^[\s>*\"'<\-]{{0,20}}({_ADDR})[\"'>]{{0,3}}(?:$|(?=[\s:,;\[(<]|\.\.\.|\.$))(.*)$")
_PHRASE = re.compile(
    rf"(?:rcpt(?: to)?|recipients?|undeliverable to|(?:message|mail|mails|deliver|delivered|delivery|delivering|addressed|sent|posted?|gateway|"
    rf"deliver mail|response) "
    rf"(?:to|for)|mailbox is full|allowed size|\d+ attempts|unknown (?:user|host)|delivery userid|mailing list|your mail to|"
    rf"following address(?:es)?|following destination|"
    rf"accounts?|mailbox)\b[^@<\n]{{0,40}}?[:<( ]\"?<?({_ADDR})",
    re.I,
)
_LIST = re.compile(rf"not (?:a )?members? of this mailing list <?({_ADDR})", re.I)
_SPOKEN = re.compile(rf"^[<\s>]{{0,8}}\d{{3}}[ -](?:\d\.\d{{1,3}}\.\d{{1,3}} )?\"?<?({_ADDR})>?\s?(?:\.\.\.|:| )")
_FROM = re.compile(r"^[\s>]*(?:mail from|from|sender|original sender|reply-to|return-path)\b", re.I)
_DELAY = re.compile(
    r"will (?:be|keep|continue|still)[^.]{0,40}(?:retr|try|tri|attempt)|still (?:being )?(?:retr|try)|warning only|do not need to resend|"
    r"not need to resend|"
    r"warning[-: ]+(?:could not|message)|delivery (?:to [^.]{0,80} )?(?:has been )?delayed|delivery status notification \(delay\)|"
    r"delayed mail|(?:message|mail) (?:is )?delayed|has not yet been delivered|delivery is delayed",
    re.I,
)
_DAEMONS = frozenset({"mailer-daemon", "postmaster", "post_master", "mail.delivery.system", "mail-daemon", "mailerdaemon", "mdaemon", "mail-deamon"})
# What subjects of notices begin with or say, in whatever case.
SUBJECT = re.compile(
    r"failure notice|undeliver|returned (?:mail|to sender|message)|return(?:ed|ing) message|delivery (?:status|fail|notification|report|problem|"
    r"has)|"
    r"mail (?:failure|delivery|system|could not|undeliver)|(?:could|can) ?not (?:be delivered|send)|delivery failure|delayed mail|"
    r"message delivery|error sending your mail|nondeliver|non-deliver|\bnotice: mail|failed (?:mail|delivery)|mail error|permanent delivery|"
    r"not member|undelivered|message (?:not )?(?:delivered|undeliverable)|warning[-: ]+could not send|unzustellbar|non remis|mta-blocked",
    re.I,
)


def is_daemon(local: str) -> bool:
    """Whether a local part is one that notices come from."""
    return local.casefold() in _DAEMONS


def cut(text: str) -> tuple[list[str], str]:
    """-> (the lines of the notice, the original message behind it)."""
    lines = [line.rstrip("\r")[:MAX_LINE] for line in text.split("\n")]
    was_blank = False
    for number, line in enumerate(lines[:MAX_LINES]):
        if number and line and (_MARKER.match(line) or (was_blank and _FIELD.match(line))):
            begin = number if _FIELD.match(line) else number + 1
            while begin < len(lines) and not lines[begin].strip(" -=*_>"):
                begin += 1
            return lines[:number], "\n".join(lines[begin : begin + MAX_LINES])
        was_blank = not line.strip()
    return lines[:MAX_LINES], ""


def is_delay(subject: str, lines: Sequence[str]) -> bool:
    """Whether a notice says that the message is only late."""
    return bool(_DELAY.search(subject) or any(_DELAY.search(line) for line in lines[:60]))


def recipients(lines: Sequence[str], failed: Sequence[str], own: frozenset[str], delayed: bool) -> list[Recipient]:
    """Who a notice speaks of. `failed`: addresses the header names (X-Failed-Recipients); `own`: addresses (lower case) of whoever it was sent to,
    which are hardly ever the ones that failed."""
    wanted = {address.casefold() for address in failed}
    found: dict[str, tuple[str, list[str]]] = {}
    current = ""
    for address in _matches(_LIST, lines, own):
        found[address.casefold()] = (address, [line for line in lines if line.strip()][:5])
    for line in [] if found else lines:
        start = _LINE.match(line)
        if start and (not wanted or start[1].casefold() in wanted) and (not _is_own(start[1], own) or start[1].casefold() in wanted):
            current = start[1].casefold()
            if current not in found and len(found) < MAX_RECIPIENTS:
                found[current] = (start[1], [])
            if current in found and (rest := start[2].strip(" :\t>")):
                found[current][1].append(rest)
        elif current in found and len(found[current][1]) < 40:
            found[current][1].append(line)
    if not found:
        for pattern in (_PHRASE, _SPOKEN):
            for address in _matches(pattern, lines, own):
                if len(found) < MAX_RECIPIENTS and (not wanted or address.casefold() in wanted):
                    found.setdefault(address.casefold(), (address, []))
            if found:
                break
    for address in failed:
        found.setdefault(address.casefold(), (address, []))
    if not found and own:
        found = {address.casefold(): (address, []) for address in _matches(_PHRASE, lines, frozenset())[:1]} or {
            start[1].casefold(): (start[1], []) for line in lines if (start := _LINE.match(line))
        }
    return [_recipient(address, said, lines, delayed) for address, said in list(found.values())[:MAX_RECIPIENTS]]


def _matches(pattern: re.Pattern[str], lines: Sequence[str], own: frozenset[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if _FROM.match(line):
            continue
        for match in pattern.finditer(line):
            if not _is_own(match[1], own):
                found.append(match[1].rstrip("."))
    return list(dict.fromkeys(found))


def _is_own(address: str, own: frozenset[str]) -> bool:
    return address.casefold() in own or is_daemon(address.partition("@")[0])


def _recipient(address: str, said: Sequence[str], lines: Sequence[str], delayed: bool) -> Recipient:
    diagnostic = _joined(_paragraph(said))
    status, code = status_in(diagnostic), code_in(" " + diagnostic)
    if not status and not code:
        spoken = _spoken(lines, address)
        status, code = status_in(spoken), code_in(" " + spoken)
        diagnostic = f"{spoken} {diagnostic}".strip() if spoken and spoken not in diagnostic else diagnostic
    word = word_of(diagnostic, status, code) if diagnostic else "unknown"
    if word == "unknown" or (not status and not code and word in ("policy", "system")):
        whole = _joined(lines)
        other = word_of(whole, status, code)
        if other != "unknown" and (word == "unknown" or other not in ("policy", "system")):
            word = other
        diagnostic = diagnostic or whole
    return Recipient(
        address,
        "",
        "delayed" if delayed else "failed",
        status or status_for(word, delayed, code),
        diagnostic[:MAX_DIAGNOSTIC],
        "",
        word,
    )


def _paragraph(said: Sequence[str]) -> list[str]:
    """What follows an address, to the first empty line behind something."""
    kept: list[str] = []
    for line in said:
        if not line.strip():
            if kept:
                break
            continue
        kept.append(line)
    return kept


def _joined(lines: Sequence[str]) -> str:
    return " ".join(" ".join(lines).split())[:4_000]


def _spoken(lines: Sequence[str], address: str) -> str:
    """The first line with a code in it, of this recipient if there is one, with what goes on behind it."""
    best = -1
    for number, line in enumerate(lines):
        text = " " + line.lstrip("> <\t")
        if (code_in(text) or status_in(text)) and not _FROM.match(line):
            if address in line:
                best = number
                break
            best = number if best < 0 else best
    return _joined(_paragraph(lines[best : best + 8])) if best >= 0 else ""
