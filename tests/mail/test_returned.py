"""What comes back is read: reports by their fields, feedback by its own, auto-replies apart, and notices by their wording."""

from __future__ import annotations

import re
from email import message_from_bytes
from pathlib import Path

import pytest

from jetmail.mail import returned
from jetmail.mail.message import Message
from jetmail.mail.returned import Returned, read
from jetmail.mail.returned_fields import address_of, status_in
from jetmail.mail.returned_words import HARD, WORDS, word_of
from tests import fixtures
from tests.mail.returned_cases import NOTICES

# What the report's own Status leaves open, and what the peer it quotes said: the more exact one counts.
EXACTER = {
    "lhost-amazonses-02": "5.3.0",
    "lhost-exim-48": "5.7.1",
    "lhost-exim-60": "5.2.2",
    "lhost-mcafee-02": "5.1.1",
    "lhost-mcafee-04": "5.1.1",
    "lhost-mimecast-02": "5.7.54",
    "lhost-postfix-44": "5.7.1",
}
# Programs and files behind an address, routes, a report without a recipient: what is read is the address.
ADDRESSES = {
    "lhost-exim-44": "kijitora@example.com",
    "lhost-exim-60": "nyaan%gol.com@q002.kijitora.gol.com",
    "lhost-messagingserver-02": "kijitora@server",
}

DSN = b"""From: MAILER-DAEMON@mx.example.net\r
To: b+x@bounces.example.org\r
Subject: Undelivered Mail Returned to Sender\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="=="\r
\r
--==\r
Content-Type: text/plain\r
\r
It did not work.\r
--==\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.example.net\r
Original-Envelope-Id: QQ314159\r
\r
Original-Recipient: rfc822; Sales@Example.Net\r
Final-Recipient: rfc822; bob@inner.example.net\r
Action: failed\r
Status: 5.1.1\r
Remote-MTA: dns; [192.0.2.7] (inner)\r
Diagnostic-Code: smtp; 550 5.1.1 <bob@inner.example.net>:\r
 no such user here\r
\r
Final-Recipient: rfc822; ann@inner.example.net\r
Action: delayed\r
Status: 4.2.2\r
Diagnostic-Code: smtp; 452 4.2.2 mailbox full\r
--==\r
Content-Type: message/rfc822\r
\r
Return-Path: <b+x@bounces.example.org>\r
Message-ID: <1@example.org>\r
From: app@example.org\r
\r
Final-Recipient: rfc822; forged@example.net\r
Action: failed\r
--==--\r
"""


def _cases() -> list[Path]:
    return sorted(fixtures.folder("06_dsn").rglob("*.eml"))


def _read(path: Path) -> Returned:
    octets = path.read_bytes().replace(b"\r\n", b"\n")
    return read(Message(octets.replace(b"\n", b"\r\n")), message_from_bytes(octets).get("return-path", "").strip() == "<>")


def _fields(octets: bytes) -> list[dict[str, str]] | None:
    """The delivery status as the standard library and a split at colons see it."""
    for part in message_from_bytes(octets).walk():
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            payload = part.get_payload()
            text = "\n".join(str(item) for item in payload) if isinstance(payload, list) else str(payload)
            found = []
            for block in re.split(r"\n\s*\n", re.sub(r"\n[ \t]+(?=\S)", " ", text)):
                fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in block.split("\n"))}
                if "final-recipient" in fields or "original-recipient" in fields:
                    found.append(fields)
            return found
    return None


def test_report() -> None:
    """Every recipient with action, status, diagnosis and who said it; the message's own names; nothing of what stands in the returned message."""
    found = read(Message(DSN))
    assert (found.kind, found.envid, found.message_id, found.reporter) == ("bounce", "QQ314159", "<1@example.org>", "mx.example.net")
    assert found.return_path == "b+x@bounces.example.org" and found.text == "It did not work."
    bob, ann = found.recipients
    assert (bob.address, bob.original, bob.action, bob.status) == ("bob@inner.example.net", "Sales@Example.Net", "failed", "5.1.1")
    assert bob.diagnostic == "550 5.1.1 <bob@inner.example.net>: no such user here" and bob.remote_mta == "192.0.2.7" and bob.word == "no-such-user"
    assert (ann.address, ann.action, ann.status, ann.word) == ("ann@inner.example.net", "delayed", "4.2.2", "mailbox-full")
    assert found.is_hard and returned.is_hard(bob) and not returned.is_hard(ann)


def test_forwarded_report_counts_for_nothing() -> None:
    """A report attached to somebody's letter is quoted, not told."""
    letter = (
        b"From: ann@example.net\r\nSubject: look what came\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nsee below\r\n"
        b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + DSN + b"--x--\r\n"
    )
    assert read(Message(letter)).kind == "other"


def test_vacation_is_never_a_bounce() -> None:
    """Whatever an answering machine quotes, and whether its envelope sender is null, it is an auto-reply."""
    text = b"I am away.\r\n\r\n<bob@example.net>: 550 5.1.1 User unknown\r\n"
    for field in (
        b"Auto-Submitted: auto-replied (vacation)", b"Precedence: auto_reply", b"X-Autoreply: yes", b"Subject: Out of Office: hello",
        b"Subject: Automatic reply: hello",
    ):  # fmt: skip
        found = read(Message(b"From: bob@example.net\r\nIn-Reply-To: <1@example.org>\r\n" + field + b"\r\n\r\n" + text), True)
        assert (found.kind, found.message_id) == ("auto-reply", "<1@example.org>"), field
        assert not found.is_hard


def test_other_mail_is_other() -> None:
    """A letter of a person is nothing that came back, even where it talks of it."""
    found = read(Message(b"From: bob@example.net\r\nSubject: Re: hello\r\n\r\nMy other address bob@example.org gave 550 5.1.1 user unknown.\r\n"))
    assert found.kind == "other" and found.recipients == ()


def test_success_and_delay() -> None:
    """A report of nothing but success is one; a delay is none of the two."""
    done = DSN.replace(b"Action: failed\r\nStatus: 5.1.1", b"Action: relayed\r\nStatus: 2.0.0", 1)
    assert read(Message(done)).kind == "delay"
    assert read(Message(done.replace(b"Action: delayed\r\nStatus: 4.2.2", b"Action: delivered\r\nStatus: 2.1.5"))).kind == "success"


def test_refused_before_anybody_was_named_is_nobodys_fault() -> None:
    """A word of the recipient is not believed where the recipient was not asked about: nobody is suppressed for it."""
    assert word_of("550 5.1.1 user unknown") == "no-such-user"
    assert word_of("SMTP error from remote mail server after MAIL FROM:<a@b.example>: 550 no such domain") == "sender-refused"
    assert word_of("550 5.7.0 <user-unknown@example.net>: Recipient address rejected: Policy") == "policy"


def test_words_are_closed() -> None:
    """Every diagnosis has a word of the list."""
    assert set(WORDS) >= HARD
    for status in ("", "5.1.1", "5.9.9", "4.4.7", "5.7.26"):
        for text in ("", "550 x", "something else", "spam", "virus found", "try later"):
            assert word_of(text, status, "550") in WORDS


def test_words_are_documented() -> None:
    """docs/returns.md has every word with its meaning, and says which are hard."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "returns.md").read_text("utf-8")
    rows = {word: (meaning, bool(hard)) for word, meaning, hard in re.findall(r"^\| ([a-z-]+) \| ([^|]+) \| (yes )?\|$", text, re.M)}
    assert rows == {word: (meaning, word in HARD) for word, meaning in WORDS.items()}


def test_fields() -> None:
    """Addresses and codes are found among what MTAs put around them."""
    assert address_of("rfc822;@relay.example:bob@example.net") == "bob@example.net"
    assert address_of('rfc822; "a b"@example.net') == '"a b"@example.net' and address_of("rfc822; <bob@example.net>") == "bob@example.net"
    assert address_of("rfc822; |/bin/x bob@example.net") == "bob@example.net" and address_of("nobody") == ""
    assert status_in("550 (#5.7.1) no") == "5.7.1" and status_in("from 192.5.1.1.25") == "" and status_in("mail 5.1.1.7") == ""


def test_bounded() -> None:
    """A report of a hundred thousand recipients is read to its cap, in no time."""
    many = b"".join(b"Final-Recipient: rfc822; a%d@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n" % number for number in range(20_000))
    head, _, tail = DSN.partition(b"Original-Recipient")
    assert len(read(Message(head + many + b"--==" + tail.partition(b"--==")[2])).recipients) == 100


@pytest.mark.parametrize("line", [each for each in NOTICES.split("\n") if each])
def test_notices(line: str) -> None:
    """Notices without a report, of the test material: kind, recipients, statuses and words are as read by eye."""
    name, kind, *said = line.split(" ")
    found = _read(next(path for path in _cases() if path.stem == name))
    assert found.kind == kind
    assert [part for item in found.recipients for part in (item.address, item.status or "-", item.word or "-")] == said


def test_reports() -> None:
    """The test material's reports: recipients, actions and statuses are those of their fields, with the exceptions that are listed and why."""
    seen = 0
    for path in _cases():
        blocks = _fields(path.read_bytes().replace(b"\r\n", b"\n"))
        if not blocks:
            continue
        seen += 1
        name, found = path.stem, _read(path)
        wanted = []
        for block in blocks:
            address = (block.get("final-recipient") or block["original-recipient"]).rpartition(";")[2].strip().strip("<>")
            action = block.get("action", "").lower().replace("deliverable", "delivered")
            wanted.append((ADDRESSES.get(name, address), action, EXACTER.get(name, block.get("status", "").split(" ")[0])))
        assert [(item.address, item.action, item.status) for item in found.recipients] == wanted, name
        assert found.kind in ("bounce", "delay", "success")
    assert seen >= 150


def test_every_case_is_something() -> None:
    """All 296 cases are told apart: none is 'other', and no reply of a machine is a bounce."""
    kinds = {path.stem: _read(path).kind for path in _cases()}
    assert len(kinds) == 296 and "other" not in kinds.values()
    assert {name for name, kind in kinds.items() if kind == "auto-reply"} == {"rfc3834-02", "rfc3834-04", "rfc3834-06"}
    assert {name.partition("-")[0] for name, kind in kinds.items() if kind == "feedback"} == {"arf"}


@pytest.mark.parametrize(
    ("text", "address", "word"),
    [
        ("Unknown host: bob@far.test\n\nOriginal message follows.\n\nFrom: a@b\n", "bob@far.test", "host-unknown"),
        ("Invalid final delivery userid: bob@far.test\n", "bob@far.test", "unknown"),
        ("Sent <<< RCPT TO:<bob@far.test>\nReceived >>> 550 5.1.1 <bob@far.test>... user unknown\n", "bob@far.test", "no-such-user"),
        ("------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\nbob@far.test\n", "bob@far.test", "no-such-user"),
        ("Message details:\n  MAIL FROM: app@example.org\n  RCPT TO: bob@far.test\n\n552 mailbox full\n", "bob@far.test", "mailbox-full"),
        ("<bob@far.test>:\nSorry, no mailbox here by that name.\n\n--- Below this line is a copy\n\nTo: e@b.test\n", "bob@far.test", "no-such-user"),
    ],
)  # fmt: skip
def test_more_notices(text: str, address: str, word: str) -> None:
    """Wordings that gateways are known for."""
    head = "From: Postmaster <postmaster@far.test>\r\nTo: app@example.org\r\nSubject: Undeliverable Mail\r\n\r\n"
    found = read(Message((head + text.replace("\n", "\r\n")).encode()), True)
    assert [(item.address, item.word) for item in found.recipients] == [(address, word)] and found.kind == "bounce"
