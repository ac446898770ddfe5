"""`jetmail demo-mail`: a varied dozen over real SMTP, and whether each was answered as it should be.

Every sample names what it shows, whom it is sent to and the replies that are right. What is wrong on purpose (a bare LF, a loop, an unknown
recipient) is right when it is refused. Standard library only, so the other side is a client we did not write.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import BinaryIO

TIMEOUT = 60.0  # seconds for any one reply; 20 MB over loopback takes about one
CLIENT_NAME = "demo-mail.example"
SENDER = "demo@sender.example"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one sample came to. `expected` in words, `reply` the last one that decided, `is_right` whether they agree."""

    name: str
    recipients: tuple[str, ...]
    expected: str
    reply: str
    is_right: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation. `play(host, port, sample)` -> (reply text, is it right, octets)."""

    name: str
    recipients: tuple[str, ...]
    expected: str
    play: Callable[[str, int, Sample], tuple[str, bool, int]]


def send_all(host: str, port: int, domain: str = "demo.test") -> list[Sent]:
    """Play every sample. A conversation that breaks counts as answered wrongly; it never raises for one."""
    results = []
    for sample in samples(domain):
        try:
            reply, is_right, octets = sample.play(host, port, sample)
        except (OSError, smtplib.SMTPException) as error:
            reply, is_right, octets = f"{type(error).__name__}: {error}", False, 0
        results.append(Sent(sample.name, sample.recipients, sample.expected, reply, is_right, octets))
    return results


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there at all."""
    try:
        socket.create_connection((host, port), TIMEOUT).close()
    except OSError:
        return False
    return True


def samples(domain: str) -> tuple[Sample, ...]:
    """The dozen, in the order they are sent."""
    alice, bob, carol, unknown = (f"{name}@{domain}" for name in ("alice", "bob", "carol", "nobody"))
    return (
        Sample("plain text", (alice,), "accepted", _accepted(_plain)),
        Sample("HTML with an attachment", (bob,), "accepted", _accepted(_html)),
        Sample("8-bit text (8BITMIME)", (carol,), "accepted", _accepted(_eight_bit, "BODY=8BITMIME")),
        Sample("SMTPUTF8 addresses", (f"zoë@{domain}",), "accepted", _accepted(_utf8, "BODY=8BITMIME", "SMTPUTF8", sender="jürgen@sender.example")),
        Sample("20 MB", (alice,), "accepted", _accepted(_large)),
        Sample("several recipients", (alice, bob, carol), "accepted", _accepted(_plain)),
        Sample("some of several unknown", (alice, unknown), "accepted for one", _accepted(_plain, refused=(unknown,))),
        Sample("a report (null sender)", (f"postmaster@{domain}",), "accepted", _accepted(_report, sender="")),
        Sample("no subject, no text", (bob,), "accepted", _accepted(_empty)),
        Sample("lines of dots", (carol,), "accepted", _accepted(_dots)),
        Sample("BDAT in three chunks", (alice,), "accepted", _bdat),
        Sample("over STARTTLS", (bob,), "accepted", _accepted(_plain, tls=True)),
        Sample("unknown recipient", (unknown,), "550 at RCPT", _refused_recipient),
        Sample("a domain not ours", ("someone@elsewhere.example",), "550 at RCPT", _refused_recipient),
        Sample("a mail loop", (alice,), "5xx after the text", _refused_content(_loop)),
        Sample("GTUBE (spam test)", (alice,), "5xx after the text", _refused_content(_gtube)),
        Sample("a bare LF", (alice,), "refused and closed", _bare_lf),
    )


def _accepted(
    make: Callable[[Sample], bytes], *options: str, sender: str = SENDER, refused: tuple[str, ...] = (), tls: bool = False
) -> Callable[[str, int, Sample], tuple[str, bool, int]]:
    def play(host: str, port: int, sample: Sample) -> tuple[str, bool, int]:
        content = make(sample)
        with _connect(host, port) as client:
            client.ehlo()
            if tls:
                context = ssl.create_default_context()
                context.check_hostname = False  # a demo's certificate is its own; who it is does not matter on loopback
                context.verify_mode = ssl.CERT_NONE
                client.starttls(context=context)
                client.ehlo()
            if "SMTPUTF8" in options:
                client.command_encoding = "utf-8"
            code, text = client.mail(sender, [*options, f"size={len(content)}"])
            if code != 250:
                return _say(code, text), False, len(content)
            for recipient in sample.recipients:
                code, text = client.rcpt(recipient)
                if (code >= 400) != (recipient in refused):
                    return _say(code, text), False, len(content)
            code, text = client.data(content)
            return _say(code, text), code == 250, len(content)

    return play


def _refused_recipient(host: str, port: int, sample: Sample) -> tuple[str, bool, int]:
    with _connect(host, port) as client:
        client.ehlo()
        client.mail(SENDER)
        code, text = client.rcpt(sample.recipients[0])
        return _say(code, text), 550 <= code <= 559, 0


def _refused_content(make: Callable[[Sample], bytes]) -> Callable[[str, int, Sample], tuple[str, bool, int]]:
    def play(host: str, port: int, sample: Sample) -> tuple[str, bool, int]:
        content = make(sample)
        with _connect(host, port) as client:
            client.ehlo()
            client.mail(SENDER)
            for recipient in sample.recipients:
                client.rcpt(recipient)
            code, text = client.data(content)
            return _say(code, text), 550 <= code <= 559, len(content)

    return play


def _bdat(host: str, port: int, sample: Sample) -> tuple[str, bool, int]:
    content = _plain(sample)
    third = len(content) // 3
    with _connect(host, port) as client:
        client.ehlo()
        if not client.has_extn("chunking"):
            return "CHUNKING is not offered", False, len(content)
        client.mail(SENDER)
        for recipient in sample.recipients:
            client.rcpt(recipient)
        code, text = 0, b""
        for chunk, last in ((content[:third], ""), (content[third : 2 * third], ""), (content[2 * third :], " LAST")):
            client.send(f"BDAT {len(chunk)}{last}\r\n".encode() + chunk)
            code, text = client.getreply()
            if code != 250:
                break
        return _say(code, text), code == 250, len(content)


def _bare_lf(host: str, port: int, sample: Sample) -> tuple[str, bool, int]:
    """The end-of-data trick of SMTP smuggling: refused, and nothing after it is heard (the connection closes)."""
    with socket.create_connection((host, port), TIMEOUT) as line, line.makefile("rb") as stream:
        _answer(stream)
        for command in (f"EHLO {CLIENT_NAME}", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{sample.recipients[0]}>", "DATA"):
            line.sendall(command.encode() + b"\r\n")
            _answer(stream)
        line.sendall(b"Subject: a bare LF\r\n\r\nfirst line\n.\r\nMAIL FROM:<smuggled@sender.example>\r\n.\r\n")
        reply = _answer(stream)
        is_closed = not stream.readline()
        return reply + ("" if is_closed else " (connection still open)"), reply.startswith("5") and is_closed, 0


def _connect(host: str, port: int) -> smtplib.SMTP:
    return smtplib.SMTP(host, port, local_hostname=CLIENT_NAME, timeout=TIMEOUT)


def _answer(stream: BinaryIO) -> str:
    while True:
        octets = stream.readline(1000)
        if not octets:
            return "connection closed"
        if octets[3:4] != b"-":
            return octets.decode("utf-8", "replace").strip()


def _say(code: int, text: bytes) -> str:
    return f"{code} {text.decode('utf-8', 'replace')}".replace("\n", " ")


def _message(sample: Sample, text: str, subject: str | None = None) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = f"Demo <{SENDER}>"
    message["To"] = ", ".join(sample.recipients)
    message["Subject"] = f"demo: {sample.name}" if subject is None else subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="sender.example")
    message.set_content(text)
    return message


def _plain(sample: Sample) -> bytes:
    return _message(sample, "Hello,\n\nthis is plain text.\n").as_bytes()


def _html(sample: Sample) -> bytes:
    message = _message(sample, "The same in plain text.\n")
    message.add_alternative("<p>Hello, <b>this</b> is HTML &amp; it has an attachment.</p>\n", subtype="html")
    message.add_attachment(b"date,amount\r\n2026-11-20,42\r\n", maintype="text", subtype="csv", filename="invoice.csv")
    return message.as_bytes()


def _eight_bit(sample: Sample) -> bytes:
    message = EmailMessage(policy=policy.SMTP.clone(cte_type="8bit"))
    for name, value in _message(sample, "").items():
        if name.lower() in ("from", "to", "subject", "date", "message-id"):
            message[name] = value
    message.set_content("Grüße aus Köln, καλημέρα, 你好.\n", cte="8bit")
    return message.as_bytes()


def _utf8(sample: Sample) -> bytes:
    lines = (
        "From: Jürgen <jürgen@sender.example>",
        f"To: Zoë <{sample.recipients[0]}>",
        "Subject: demo: Grüße an Zoë",
        f"Date: {formatdate()}",
        f"Message-ID: {make_msgid(domain='sender.example')}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "Header and address in UTF-8 (RFC 6532).",
        "",
    )
    return "\r\n".join(lines).encode()


def _large(sample: Sample) -> bytes:
    message = _message(sample, "An attachment that makes this 20 MB.\n")
    message.add_attachment(bytes(range(256)) * (15 * 4096 - 256), maintype="application", subtype="octet-stream", filename="large.bin")
    return message.as_bytes()


def _report(sample: Sample) -> bytes:
    return _message(sample, "What you sent could not be delivered (this is a demo).\n", "Undelivered mail").as_bytes()


def _empty(sample: Sample) -> bytes:
    return _message(sample, "", "").as_bytes()


def _dots(sample: Sample) -> bytes:
    return _message(sample, ".\n..\n.a line that begins with a dot\n.\n").as_bytes()


def _loop(sample: Sample) -> bytes:
    trace = "".join(f"Received: from hop{n}.example by hop{n + 1}.example; {formatdate()}\r\n" for n in range(120))
    return trace.encode() + _plain(sample)


def _gtube(sample: Sample) -> bytes:
    return _message(sample, f"{GTUBE}\n").as_bytes()
