"""Delivery status notifications, read back with the standard library's parser."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail import dsn
from jetmail.mail.dsn import Action, RecipientStatus, Report
from jetmail.mail.reply import Reply

ORIGINAL = b"From: bob@example.org\r\nTo: ann@demo.test\r\nSubject: hello\r\n\r\nbody text\r\n"
REFUSED = RecipientStatus(
    "ann@demo.test", Action.FAILED, "5.1.1", Reply(550, "5.1.1", "nobody here"), "mx.demo.test", "rfc822;ann+2Bx@demo.test",
    last_attempt=1_700_000_100.0,
)  # fmt: skip


def report(*recipients: RecipientStatus, **other: object) -> Report:
    values: dict = {
        "reporting_mta": "mail.test",
        "to": "bob@example.org",
        "message_id": "0123@mail.test",
        "boundary": "=_0123456789abcdef",
        "date": 1_700_000_200.0,
        "arrival": 1_700_000_000.0,
        "recipients": recipients or (REFUSED,),
        "original": ORIGINAL,
    } | other
    return Report(**values)


def parsed(data: bytes) -> EmailMessage:
    """The message, after checks that hold for every report."""
    assert data.isascii()
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    assert isinstance(message, EmailMessage)
    return message


def fields(message: EmailMessage) -> list[dict[str, str]]:
    """The blocks of the machine-readable part: of the message, then of each recipient."""
    part = message.get_payload(1)
    assert part.get_content_type() == "message/delivery-status"  # type: ignore[union-attr]
    return [{name: " ".join(str(value).split()) for name, value in block.items()} for block in part.get_payload()]  # type: ignore[union-attr]


def test_failure() -> None:
    """A failure has three parts: words, the status with every field, and the original header."""
    message = parsed(dsn.build(report(envid="QQ+2D314")))
    assert str(message["Subject"]) == "Undelivered mail returned to sender"
    assert str(message["Auto-Submitted"]) == "auto-replied"
    assert str(message["To"]) == "bob@example.org"
    assert str(message["Date"]) == "Tue, 14 Nov 2023 22:16:40 +0000"
    words, _, original = message.get_payload()  # type: ignore[misc]
    assert "ann@demo.test" in words.get_content()  # type: ignore[union-attr]
    assert "mx.demo.test said: 550 5.1.1 nobody here" in " ".join(words.get_content().split())  # type: ignore[union-attr]
    assert fields(message) == [
        {"Reporting-MTA": "dns; mail.test", "Original-Envelope-Id": "QQ-314", "Arrival-Date": "Tue, 14 Nov 2023 22:13:20 +0000"},
        {
            "Original-Recipient": "rfc822; ann+x@demo.test",
            "Final-Recipient": "rfc822; ann@demo.test",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.demo.test",
            "Diagnostic-Code": "smtp; 550 5.1.1 nobody here",
            "Last-Attempt-Date": "Tue, 14 Nov 2023 22:15:00 +0000",
        },
    ]
    assert original.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]
    assert "Subject: hello" in original.get_payload()  # type: ignore[union-attr,operator]
    assert "body text" not in original.get_payload()  # type: ignore[union-attr,operator]


def test_delay() -> None:
    """A delay says until when it is tried, and that nothing need be sent again."""
    late = RecipientStatus("ann@demo.test", Action.DELAYED, "4.4.1", Reply(451, "4.4.1", "no route"), will_retry_until=1_700_432_000.0)
    message = parsed(dsn.build(report(late)))
    assert fields(message)[1]["Action"] == "delayed"
    assert fields(message)[1]["Will-Retry-Until"] == "Sun, 19 Nov 2023 22:13:20 +0000"
    assert fields(message)[1]["Diagnostic-Code"].startswith("x-jetmail; ")
    assert "Remote-MTA" not in fields(message)[1]
    assert "need not send it again" in " ".join(message.get_payload(0).get_content().split())  # type: ignore[union-attr]


def test_full() -> None:
    """The whole original comes back when it is asked for and is 7-bit; else the header does."""
    message = parsed(dsn.build(report(original=ORIGINAL, is_full=True)))
    assert message.get_payload(2).get_content_type() == "message/rfc822"  # type: ignore[union-attr]
    assert message.get_payload(2).get_payload(0)["Subject"] == "hello"  # type: ignore[union-attr]
    message = parsed(dsn.build(report(original=ORIGINAL + "é\r\n".encode(), is_full=True)))
    assert message.get_payload(2).get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]


def test_header_outside_ascii() -> None:
    """A header in UTF-8 is quoted-printable and comes back to the letter."""
    header = "From: bob@example.org\r\nSubject: grüße\r\n".encode()
    message = parsed(dsn.build(report(original=header)))
    part = message.get_payload(2)
    assert part["Content-Transfer-Encoding"] == "quoted-printable"  # type: ignore[index]
    assert part.get_payload(decode=True).replace(b"\r\n", b"\n") == header.replace(b"\r\n", b"\n")  # type: ignore[union-attr]


def test_address_outside_ascii() -> None:
    """An internationalised recipient is written with address type utf-8 and escapes, and readable in the words."""
    item = RecipientStatus("dörte@demo.test", Action.FAILED, "5.6.7", Reply(550, "5.6.7", "no SMTPUTF8"))
    message = parsed(dsn.build(report(item, to="jürgen@example.org")))
    assert fields(message)[1]["Final-Recipient"] == "utf-8; d\\x{F6}rte@demo.test"
    assert "dörte@demo.test" in message.get_payload(0).get_content()  # type: ignore[union-attr]


def test_lost_original() -> None:
    """Without the original there are two parts."""
    assert len(list(parsed(dsn.build(report(original=b""))).iter_parts())) == 2


def test_boundary_in_original() -> None:
    """A boundary that occurs in the original, or in what the other side said, is refused."""
    with pytest.raises(ValueError):
        dsn.build(report(original=ORIGINAL + b"--=_0123456789abcdef--\r\n", is_full=True))
    item = RecipientStatus("ann@demo.test", Action.FAILED, "5.1.1", Reply(550, "5.1.1", "--=_0123456789abcdef"))
    with pytest.raises(ValueError):
        dsn.build(report(item))


def test_several_recipients() -> None:
    """Each recipient has a block of its own."""
    other = RecipientStatus("cid@demo.test", Action.FAILED, "4.4.7", Reply(451, "4.4.1", "no route"))
    assert [block.get("Final-Recipient") for block in fields(parsed(dsn.build(report(REFUSED, other))))] == [
        None,
        "rfc822; ann@demo.test",
        "rfc822; cid@demo.test",
    ]


@given(st.text(max_size=2000), st.text(max_size=200), st.text(max_size=100), st.text(max_size=100))
def test_nothing_said_gets_out_of_its_field(said: str, host: str, orcpt: str, envid: str) -> None:
    """Whatever a peer or client said, the report keeps its structure and its fields."""
    said, host, orcpt, envid = (text.encode("utf-8", "ignore").decode() for text in (said, host, orcpt, envid))
    item = RecipientStatus("ann@demo.test", Action.FAILED, "5.0.0", Reply(550, "", said + "\nX-Evil: 1\r\n\r\nAction: delivered"), host, orcpt, said)
    message = parsed(dsn.build(report(item, envid=envid)))
    assert len(list(message.iter_parts())) == 3
    blocks = fields(message)
    assert len(blocks) == 2
    assert blocks[1]["Action"] == "failed"
    assert "X-Evil" not in blocks[1]


def test_header_of() -> None:
    """The header is what stands before the empty line."""
    assert dsn.header_of(b"A: 1\r\n\r\nx") == b"A: 1\r\n"
    assert dsn.header_of(b"\r\nx") == b""
    assert dsn.header_of(b"A: 1\r\n") == b"A: 1\r\n"


@pytest.mark.parametrize("line", [b"Subject: " + b"x" * 1_200 + b"\r\n", b"Subject: a\nb\rc\r\n", b"Subject: a\0b\r\n"])
def test_lines_that_others_would_refuse(line: bytes) -> None:
    """An original with lines too long or ended otherwise comes home as its header, in quoted-printable, however much was asked for."""
    message = parsed(dsn.build(report(original=line + ORIGINAL, is_full=True)))
    part = message.get_payload(2)
    assert part.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]
    assert part["Content-Transfer-Encoding"] == "quoted-printable"  # type: ignore[index]
    assert part.get_payload(decode=True).startswith(line[:9])  # type: ignore[union-attr]
