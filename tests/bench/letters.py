"""The mail of bench `filtered`: some 14 KB, text and HTML with links and a small attachment, signed with DKIM by a domain that says who may send.

Each of several letters differs in words, links, attachment and so in signature: what a filter keeps between messages it keeps here as it would for
one busy sender, and no more. Nothing in them is anybody's mail.
"""

from __future__ import annotations

import random
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from jetmail.mail.message import Message
from jetmail.mailauth import signing
from jetmail.mailauth.signing import Signer

DOMAIN = "sender.test"
SELECTOR = "bench"
SIZE = 14 * 1024

_SUBJECTS = ("Minutes of the planning meeting", "Notes on the spring schedule", "The parts list we talked about", "Report on the workshop")
_WORDS = """
    the a our this that meeting schedule report workshop project team office garden river station library paper table drawing window engine
    measured planned finished started reviewed agreed discussed moved checked repaired painted ordered printed collected described compared
    careful early late small large second third next last local regional quiet useful simple complete about after before during between because
    while and or but with without from into over under across week month morning afternoon Tuesday Thursday spring autumn colleagues visitors
    engineers students drivers members numbers results questions answers photographs maps samples tools cables pipes doors shelves
""".split()


def signer() -> Signer:
    """A key of 2,048 bits, made for this run."""
    return signing.load(signing.generate("rsa"), DOMAIN, SELECTOR, is_ours=True)


def records(signer: Signer, hostname: str) -> dict[str, list[str]]:
    """What the sender's domain publishes, and the names of 127.0.0.1."""
    return {
        f"txt {DOMAIN}": ["v=spf1 ip4:127.0.0.1 -all"],
        f"mx {DOMAIN}": [f"10 mail.{DOMAIN}"],
        f"a {DOMAIN}": ["127.0.0.1"],
        f"a mail.{DOMAIN}": ["127.0.0.1"],
        f"txt _dmarc.{DOMAIN}": ["v=DMARC1; p=reject; adkim=s; aspf=s"],
        f"txt {SELECTOR}._domainkey.{DOMAIN}": [signer.record()],
        "ptr 1.0.0.127.in-addr.arpa": [f"mail.{DOMAIN}"],
        f"a {hostname}": ["127.0.0.1"],
        "a example.test": ["127.0.0.1"],
    }


def sentence(dice: random.Random) -> str:
    """Words and a full stop."""
    words = [dice.choice(_WORDS) for _ in range(dice.randrange(8, 18))]
    return " ".join(words).capitalize() + "."


def paragraphs(dice: random.Random, count: int) -> list[str]:
    """Each of some sentences."""
    return [" ".join(sentence(dice) for _ in range(dice.randrange(3, 6))) for _ in range(count)]


def letter(number: int, signer: Signer, now: float) -> bytes:
    """One letter, with CRLF line ends."""
    dice = random.Random(number)
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Anna Carpenter <anna.carpenter@{DOMAIN}>"
    message["To"] = "Bernard Example <b@example.test>"
    message["Subject"] = f"{dice.choice(_SUBJECTS)}, part {number + 1}"
    message["Date"] = formatdate(now)
    message["Message-ID"] = f"<{dice.randbytes(12).hex()}@{DOMAIN}>"
    text = paragraphs(dice, 8)
    message.set_content("\n\n".join(["Dear Bernard,", *text, f"https://www.{DOMAIN}/notes/{number}", "Kind regards,\nAnna Carpenter"]) + "\n")
    message.add_alternative(page(dice, number, text), subtype="html")
    left = max(900, (SIZE - len(message.as_bytes()) - 1_100) * 3 // 4)
    message.add_attachment(b"%PDF-1.4\n" + dice.randbytes(left) + b"\n%%EOF\n", maintype="application", subtype="pdf", filename=f"plan-{number}.pdf")
    octets = message.as_bytes()
    read = Message(octets)
    return signing.sign(signer, read.fields, read.body_chunks(), now) + octets


def page(dice: random.Random, number: int, text: list[str]) -> str:
    """The same words as HTML, with a table, styles, links and a picture."""
    rows = "".join(
        f'<tr><td style="padding: 8px; font-family: Arial, sans-serif; color: #333333;"><p>{each}</p>'
        f'<a href="https://www.{DOMAIN}/notes/{number}/{place}?from=mail" style="color: #005599;">Read part {place + 1}</a></td></tr>\n'
        for place, each in enumerate(text)
    )
    return (
        '<html><head><style>body { margin: 0; } td { vertical-align: top; }</style><title>Notes</title></head><body bgcolor="#ffffff">\n'
        f'<table width="600" cellpadding="0" cellspacing="0" border="0">{rows}</table>\n'
        f'<p><a href="https://maps.sender.test/where?{dice.randbytes(6).hex()}"><img src="https://www.{DOMAIN}/map.png" width="120" height="80" '
        f'alt="map"></a> &nbsp;<a href="mailto:anna.carpenter@{DOMAIN}">Write to me</a> or see <a href="https://www.{DOMAIN}/">www.{DOMAIN}</a></p>\n'
        "</body></html>\n"
    )


def lesson(number: int, is_spam: bool, now: float) -> bytes:
    """Something for a peer's classifier to learn from; the words of the two kinds differ."""
    dice = random.Random(f"{is_spam}{number}")
    words = _WORDS[: len(_WORDS) // 2] if is_spam else _WORDS
    body = " ".join(dice.choice(words) + (str(dice.randrange(90)) if is_spam else "") for _ in range(200))
    name = "offers" if is_spam else "people"
    return (
        f"From: <{name}-{number}@{name}.test>\r\nTo: <b@example.test>\r\nSubject: {name} {number}\r\nMessage-ID: <{number}@{name}.test>\r\n"
        f"Date: {formatdate(now)}\r\n\r\n{body}\r\n"
    ).encode()
