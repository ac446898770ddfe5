"""Commands as text become values, or a refusal that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.envelope import Recipient, Sender
from jetmail.smtp import grammar
from jetmail.smtp.grammar import Offers, Refused

OFFERS = Offers(1000, auth=True, requiretls=True)


def refused(call: object, *arguments: object) -> str:
    """The code and enhanced code of the refusal."""
    with pytest.raises(Refused) as caught:
        call(*arguments)  # type: ignore[operator]
    return f"{caught.value.reply.code} {caught.value.reply.enhanced}"


def mail(text: str, offers: Offers = OFFERS) -> Sender:
    """parse_mail of text."""
    return grammar.parse_mail(text.encode(), offers)


def rcpt(text: str, smtputf8: bool = False) -> Recipient:
    """parse_rcpt of text."""
    return grammar.parse_rcpt(text.encode(), smtputf8, "mx.test")


def test_all_parameters() -> None:
    """Every parameter of MAIL and RCPT ends up in its field."""
    sender = mail("FROM:<a@b.test> SIZE=12 BODY=8bitmime SMTPUTF8 RET=Full ENVID=x+2By REQUIRETLS AUTH=<>")
    assert sender == Sender(sender.address, 12, "8BITMIME", True, "FULL", "x+2By", True, "<>")
    assert str(sender) == "a@b.test"
    recipient = rcpt("TO:<c@d.test> NOTIFY=FAILURE,success ORCPT=rfc822;c@d.test")
    assert (recipient.notify, recipient.orcpt) == ("SUCCESS,FAILURE", "rfc822;c@d.test")


def test_null_sender_and_quoted_paths() -> None:
    """<> is nobody; a quoted local part may hold what ends a path elsewhere."""
    assert mail("FROM:<>").address is None
    assert str(mail('from: <"a> b"@c.test>').address) == '"a> b"@c.test'
    assert str(rcpt('TO:<"\\"@\\\\>"@c.test>').address) == '"\\"@\\\\>"@c.test'


@pytest.mark.parametrize("path", ["@r.test:a@b.test", "@r.test,@s.test:a@b.test", "@[192.0.2.1]:a@b.test", "@[IPv6:2001:db8::1],@x:a@b.test"])
def test_source_routes_are_dropped(path: str) -> None:
    """RFC 5321 C: accepted, ignored."""
    assert str(rcpt(f"TO:<{path}>").address) == "a@b.test"


@pytest.mark.parametrize("path", ["@r.test", "@:a@b.test", "@r.test,a@b.test", "@r.test:", "@r.test,:a@b.test", "@a b:a@b.test"])
def test_broken_routes_are_refused(path: str) -> None:
    """Half a route is no address."""
    assert refused(rcpt, f"TO:<{path}>") == "501 5.1.3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FROM",
        "FROM:",
        "FROM:a@b",
        "FROM:<a@b",
        "FROM:a@b>",
        "FROM :<a@b>",
        "FROM:<a@b>x",
        "FROM:<a@b>,<c@d>",
        'FROM:<"a@b>',
        "TO:<a@b>",
        "FROM:x<a@b>",
    ],
)
def test_mail_syntax(text: str) -> None:
    """What is no path is refused with the syntax."""
    assert refused(mail, text) == "501 5.5.4"


@pytest.mark.parametrize("value", ["", "1x", "-1", "1.0", "٣", "1" * 21, " "])
def test_bad_size(value: str) -> None:
    """SIZE is one to twenty digits (RFC 1870)."""
    assert refused(mail, f"FROM:<a@b.test> SMTPUTF8 SIZE={value}") == "501 5.5.4"


def test_size_above_limit() -> None:
    """A size we shall never take is refused before it comes."""
    assert mail("FROM:<a@b.test> SIZE=1000").size == 1000
    assert refused(mail, "FROM:<a@b.test> SIZE=1001") == "552 5.3.4"


@pytest.mark.parametrize(
    "orcpt", ["a@b", ";a@b", "rfc822;", "rfc822;a b", "rfc822;a+b", "rfc822;a+0A", "rfc822;a+0aB", "rfc822;" + "a" * 500, "r f;a", "rfc822;a=b"]
)
def test_bad_orcpt(orcpt: str) -> None:
    """ORCPT is a type and xtext that holds nothing but printable ASCII (it is copied into reports)."""
    assert refused(rcpt, f"TO:<a@b.test> ORCPT={orcpt}") in ("501 5.5.4", "555 5.5.4")


def test_orcpt_beyond_ascii() -> None:
    """RFC 6533: the type utf-8 may hold text, under SMTPUTF8."""
    assert rcpt("TO:<a@b.test> ORCPT=utf-8;jörg@b.test", smtputf8=True).orcpt == "utf-8;jörg@b.test"
    assert refused(rcpt, "TO:<a@b.test> ORCPT=rfc822;jörg@b.test", True) == "501 5.5.4"
    assert refused(rcpt, "TO:<a@b.test> ORCPT=utf-8;jörg@b.test") == "553 5.6.7"


@pytest.mark.parametrize("notify", ["", "NEVER,DELAY", "SUCCESS,SUCCESS", "SUCCESS,", "ALWAYS"])
def test_bad_notify(notify: str) -> None:
    """NOTIFY is NEVER alone or some of the three words, each once."""
    assert refused(rcpt, f"TO:<a@b.test> NOTIFY={notify}") == "501 5.5.4"


def test_unoffered_parameters() -> None:
    """AUTH= and REQUIRETLS only where EHLO names them."""
    assert refused(mail, "FROM:<a@b.test> AUTH=<>", Offers(1000)) == "555 5.5.4"
    assert refused(mail, "FROM:<a@b.test> REQUIRETLS", Offers(1000)) == "555 5.5.4"


def test_postmaster() -> None:
    """<postmaster> needs no domain, at RCPT only."""
    assert str(rcpt("TO:<PostMaster>").address) == "PostMaster@mx.test"
    assert refused(mail, "FROM:<postmaster>") == "501 5.1.7"


def test_smtputf8_domain() -> None:
    """A U-label domain is kept as A-labels, and needs SMTPUTF8 on the wire."""
    assert str(mail("FROM:<a@bücher.test> SMTPUTF8").address) == "a@xn--bcher-kva.test"
    assert refused(mail, "FROM:<a@bücher.test>") == "553 5.6.7"


def test_xtext() -> None:
    """xtext is read back."""
    assert grammar.decode_xtext("a+2Bb+3D+20c") == "a+b= c"


def test_bdat() -> None:
    """A size, and LAST in any case."""
    assert grammar.parse_bdat(b"12") == (12, False)
    assert grammar.parse_bdat(b"0 last") == (0, True)
    for wrong in (b"", b"x", b"-1", b"1 LASTLY", b"1LAST", b"1" * 21, b"\xd9\xa3"):
        assert refused(grammar.parse_bdat, wrong) == "501 5.5.4"


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode), st.booleans())
def test_total(argument: bytes, smtputf8: bool) -> None:
    """Any octets give a value or a Refused, for every command."""
    for call, *more in (
        (grammar.parse_helo,),
        (grammar.parse_mail, OFFERS),
        (grammar.parse_rcpt, smtputf8, "mx.test"),
        (grammar.parse_bdat,),
        (grammar.parse_auth,),
    ):
        for octets in (argument, b"FROM:<" + argument + b">", b"TO:<" + argument + b">", b"FROM:<a@b> " + argument, b"TO:<a@b> ORCPT=" + argument):
            try:
                call(octets, *more)  # type: ignore[operator]
            except Refused as refusal:
                assert 500 <= refusal.reply.code < 600


@pytest.mark.parametrize(
    "octets",
    [b'FROM:<"' + b"\\a" * 1000, b"FROM:<" + b'""' * 1000, b"FROM:<a@b> " + b"A" * 2000, b"FROM:<" + b"@a," * 700, b"FROM:<" + b"a." * 1000 + b"@b>"],
)
def test_no_backtracking(octets: bytes) -> None:
    """Lines made to hurt are refused at once (this test would hang, not fail)."""
    for _ in range(50):
        refused(grammar.parse_mail, octets, OFFERS)
