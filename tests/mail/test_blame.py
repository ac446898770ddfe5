"""Whose fault a refusal is: the address's, or something else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.blame import Blame, blame
from jetmail.mail.reply import Reply

GONE = (
    "550 5.1.1 <a@b.test>: Recipient address rejected: User unknown in virtual mailbox table",
    "550 5.1.1 RCP-P1 http://postmaster.facebook.com/response_codes?ip=192.0.2.54#rcp Recipient address does not exist",
    "556 5.1.10 far.test does not accept mail (null MX)",
    "550 5.1.2 Host unknown",
    "550 5.4.1 [a@b.test]: Recipient address rejected: Access denied",
    "550 5.2.1 <a@b.test>... User Unknown",
    "550 5.5.0 No such user",
    "550 No such user here",
    "550 Unknown user a@b.test",
    "550 Invalid recipient",
    "553 sorry, that domain or name is not known, or the mailbox no longer exists",
    "550 The email account that you tried to reach does not exist",
)
REFUSED = (
    "550 <a@b.test>: Recipient address rejected.",
    "550 Requested action not taken: mailbox unavailable",
    "550 5.2.1 The email account that you tried to reach is disabled",
    "550 5.1.0 Address rejected",
    "550 no",
)
ELSEWHERE = (
    "550 5.7.1 Message content rejected, UBE",
    "554 5.7.1 <a@b.test>: Recipient address rejected: Access denied",
    "550 5.7.26 Unauthenticated email from b.test is not accepted due to domain's DMARC policy",
    "550 5.2.2 <a@b.test>... Mailbox Full",
    "550 mailbox is over quota",
    "552 5.3.4 Message too big",
    "552 Too many recipients",
    "553 5.1.8 <root@b.test>... Domain of sender address root@b.test does not exist",
    "550 5.1.1 Sender address does not exist",
    "550 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "550 relay not permitted",
    "554 No SMTP service here",
    "554 Transaction failed",
    "541 5.4.1 Mail rejected by destination domain",
    "550 5.4.312 Message expired, DNS query failed",
    "500 5.6.1 Message content rejected",
    "521 this host takes no mail",
    "451 4.1.1 user unknown, try later",
    "250 2.1.5 no such user",
)


def _reply(text: str) -> Reply:
    return Reply.parse(int(text[:3]), [text[4:]])


@pytest.mark.parametrize("text", GONE)
def test_gone(text: str) -> None:
    """A reply that says there is no such address is understood so, whatever its code."""
    assert blame(_reply(text)) is Blame.GONE


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    """A reply about the mailbox that does not say why is a refusal, to be counted."""
    assert blame(_reply(text)) is Blame.REFUSED


@pytest.mark.parametrize("text", ELSEWHERE)
def test_elsewhere(text: str) -> None:
    """Policy, spam, size, a full mailbox, the sender, or a temporary fault are not the address's fault."""
    assert blame(_reply(text)) is Blame.ELSEWHERE


@given(st.integers(200, 599), st.sampled_from(["", "5.1.1", "5.0.0", "5.9.9"]), st.text(max_size=3_000))
def test_total(code: int, enhanced: str, text: str) -> None:
    """Any reply has an answer, and what may pass tomorrow blames nobody."""
    found = blame(Reply(code, enhanced, text))
    assert found in Blame
    assert code >= 500 or found is Blame.ELSEWHERE
