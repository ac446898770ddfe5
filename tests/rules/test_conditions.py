"""The eight kinds of condition: what they match, what is refused when a rule is saved."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.errors import UsageError
from jetmail.rules.conditions import KINDS, MAX_PATTERN, compile_conditions
from tests.rules.samples import facts, message, recipient

MULTIPART = """Some words.\r
--b\r
Content-Type: text/plain\r
\r
Cheap Pills, today\r
--b\r
Content-Type: application/PDF; name="Invoice 7.pdf"\r
Content-Disposition: attachment; filename="Invoice 7.pdf"\r
Content-Transfer-Encoding: base64\r
\r
AAAA\r
--b--\r
"""


def mail(**fields: str) -> Any:
    return message(
        MULTIPART, **({"From": "Ann <ann@news.example.com>", "Subject": "Big SALE today", "X_Mailer": "Bulk 2"} | fields),
        Content_Type="multipart/mixed; boundary=b",
    )  # fmt: skip


def text(kind: str, value: str, **more: Any) -> dict[str, Any]:
    name = {"subjects": "subject_value", "body": "body_value", "headers": "header_value"}[kind]
    extra = {"header_name": "X-Mailer"} if kind == "headers" else {}
    return {kind: [{"match_type": more.pop("how", "contains"), name: value, **extra, **more}]}


def sender(value: str, how: str = "email") -> dict[str, Any]:
    return {"senders": [{"sender_type": how, "sender_value": value}]}


def attachment(how: str, value: str = "", **more: Any) -> dict[str, Any]:
    return {"attachments": [{"match_type": how, "match_value": value, **more} if value else {"match_type": how}]}


@pytest.mark.parametrize(
    ("conditions", "is_match"),
    [
        (sender("alice@example.org"), True),
        (sender("ALICE@Example.Org"), True),
        (sender("ann@news.example.com"), True),  # the header From counts too
        (sender("bob@example.org"), False),
        (sender("example.org", "domain"), True),
        (sender("org", "domain"), False),
        (sender("example.com", "domain"), False),  # a domain is that domain only ...
        (sender("*.example.com", "domain"), True),  # ... unless written so
        (sender("*.example.org", "domain"), True),
        (sender("^a.*@example\\.org$", "regex"), True),
        (sender("^b", "regex"), False),
        ({"recipients": [{"recipient_type": "email", "recipient_value": "bob@demo.test"}]}, True),
        ({"recipients": [{"recipient_type": "domain", "recipient_value": "demo.test"}]}, True),
        ({"recipients": [{"recipient_type": "regex", "recipient_value": "sales"}]}, False),
        (text("subjects", "sale"), True),
        (text("subjects", "sale", case_sensitive=True), False),
        (text("subjects", "SALE", case_sensitive=1), True),
        (text("subjects", "big sale today", how="exact"), True),
        (text("subjects", "big sale", how="exact"), False),
        (text("subjects", "BIG", how="starts_with"), True),
        (text("subjects", "today", how="ends_with"), True),
        (text("subjects", "big", how="ends_with"), False),
        (text("subjects", "sale\\s+to(day|night)", how="regex"), True),
        (text("body", "cheap pills"), True),
        (text("body", "cheap pills", max_body_size=5), False),
        (text("body", "cheap.pills", how="regex"), True),
        (text("body", "AAAA"), False),  # an attachment is not the text
        (text("headers", "bulk"), True),
        (text("headers", "bulk 2", how="exact"), True),
        ({"headers": [{"header_name": "x-MAILER:", "match_type": "regex", "header_value": "^Bulk \\d$"}]}, True),
        ({"headers": [{"header_name": "X-Other", "match_type": "contains", "header_value": "bulk"}]}, False),
        ({"ips": [{"ip_type": "single", "ip_value": "192.0.2.7"}]}, True),
        ({"ips": [{"ip_type": "cidr", "ip_value": "192.0.2.0/29"}]}, True),
        ({"ips": [{"ip_type": "range", "ip_value": "192.0.2.1-192.0.2.6"}]}, False),
        ({"ips": [{"ip_type": "single", "ip_value": "2001:db8::1"}]}, False),
        ({"size": {"min_size": 10}}, True),
        ({"size": {"max_size": 10}}, False),
        ({"size": {"min_size": 10, "max_size": None}}, True),
        (attachment("any"), True),
        (attachment("extension", ".PDF"), True),
        (attachment("extension", "exe"), False),
        (attachment("filename", "invoice 7.pdf"), True),
        (attachment("filename", "invoice 7.pdf", case_sensitive=True), False),
        (attachment("filename", "invoice*.pdf"), True),
        (attachment("filename", "invoice"), False),
        (attachment("mime_type", "application/pdf"), True),
        (attachment("mime_type", "application/*"), True),
        (attachment("mime_type", "image/*"), False),
        (sender("alice@example.org") | text("subjects", "nothing like it"), False),  # kinds: all must hold
        (text("subjects", "sale") | attachment("any") | {"size": {"min_size": 1}}, True),
        ({"subjects": text("subjects", "no")["subjects"] + text("subjects", "sale")["subjects"]}, True),  # values: one is enough
    ],
)
def test_matching(conditions: dict[str, Any], is_match: bool) -> None:
    """Each kind and match type, on one message."""
    assert compile_conditions(conditions).match(facts(mail())) is is_match


@pytest.mark.parametrize("how", ["contains", "regex"])
@pytest.mark.parametrize("case_sensitive", [True, False])
def test_spaces_that_do_not_break(how: str, case_sensitive: bool) -> None:
    """What people read as a space is one, in the text (Outlook writes &nbsp; by the dozen) and in the value."""
    value = "cheap\\s+pills" if how == "regex" else "cheap\xa0pills"
    page = message("<p>Get cheap&nbsp;pills</p>\r\n", Content_Type="text/html")
    assert compile_conditions(text("body", value, how=how, case_sensitive=case_sensitive)).match(facts(page)) is True


@pytest.mark.parametrize(
    ("conditions", "decided"),
    [
        (sender("alice@example.org"), True),
        (sender("else@example.org"), None),  # the header From may still say so
        ({"ips": [{"ip_type": "single", "ip_value": "192.0.2.7"}]}, True),
        ({"ips": [{"ip_type": "single", "ip_value": "192.0.2.8"}]}, False),
        ({"recipients": [{"recipient_type": "email", "recipient_value": "ann@demo.test"}]} | text("subjects", "x"), False),
        (text("subjects", "x"), None),
        ({"size": {"min_size": 1}}, None),
    ],
)
def test_before_the_content_is_there(conditions: dict[str, Any], decided: bool | None) -> None:
    """At RCPT a condition knows whether it knows."""
    assert compile_conditions(conditions).match(facts(None)) is decided


def test_allowing_needs_a_sound_from() -> None:
    """To allow, every address of one well-formed From field must match; to block, one is enough."""
    conditions = compile_conditions(sender("friend@example.com"))
    two = mail(From="friend@example.com, evil@example.net")
    assert conditions.match(facts(two)) is True
    assert conditions.match(facts(two), is_allow=True) is False
    broken = mail(From="friend@example.com <evil@example.net")
    assert conditions.match(facts(broken), is_allow=True) is False


def test_null_sender_matches_nobody() -> None:
    """A bounce comes from nobody, so no sender rule matches its envelope."""
    conditions = compile_conditions(sender(".*", "regex"))
    assert conditions.match(facts(message(), sender="")) is False


def test_recipient_in_question() -> None:
    """A rule on recipients looks at the one it is asked about."""
    conditions = compile_conditions({"recipients": [{"recipient_type": "email", "recipient_value": "ann@demo.test"}]})
    both = (recipient("ann@demo.test"), recipient("bob@demo.test", 1))
    assert [conditions.match(facts(mail(), to=both, recipient=each)) for each in both] == [True, False]


@pytest.mark.parametrize(
    ("conditions", "field", "reason"),
    [
        ({}, "conditions", "at least one condition"),
        ({"senders": []}, "conditions", "at least one condition"),
        ({"size": {}}, "conditions", "at least one condition"),
        ({"weather": []}, "conditions.weather", "unknown"),
        ({"senders": "x"}, "senders", "list"),
        ({"senders": ["x"]}, "senders[0]", "object"),
        (sender("not an address"), "senders[0].sender_value", "no @"),
        (sender("exa mple.com", "domain"), "senders[0].sender_value", "host name"),
        (sender("x", "mailbox"), "senders[0].sender_type", "must be one of"),
        ({"senders": [{"sender_type": "email", "sender_value": "a@b.c", "extra": 1}]}, "senders[0].extra", "unknown"),
        (sender("(", "regex"), "senders[0].sender_value", "not a valid regular expression"),
        (sender("(?=a)", "regex"), "senders[0].sender_value", "not a valid regular expression"),
        (text("subjects", "x" * (MAX_PATTERN + 1)), "subjects[0].subject_value", "longer"),
        (text("subjects", "  "), "subjects[0].subject_value", "not empty"),
        (text("subjects", "x", how="like"), "subjects[0].match_type", "must be one of"),
        (text("subjects", "x", case_sensitive="no"), "subjects[0].case_sensitive", "true or false"),
        (text("body", "x", max_body_size=0), "body[0].max_body_size", "whole number"),
        (text("body", "x", max_body_size=True), "body[0].max_body_size", "whole number"),
        ({"headers": [{"header_name": "a b", "match_type": "exact", "header_value": "x"}]}, "headers[0].header_name", "header field"),
        ({"ips": [{"ip_type": "single", "ip_value": "192.0.2.0/24"}]}, "ips[0].ip_value", "cidr"),
        ({"ips": [{"ip_type": "cidr", "ip_value": "192.0.2.0/99"}]}, "ips[0].ip_value", "192.0.2.0/99"),
        ({"ips": [{"ip_type": "range", "ip_value": "192.0.2.9-192.0.2.1"}]}, "ips[0].ip_value", "lower"),
        ({"ips": [{"ip_type": "range", "ip_value": "192.0.2.9-::1"}]}, "ips[0].ip_value", "family"),
        ({"size": {"min_size": -1}}, "size.min_size", "octets"),
        ({"size": {"min_size": 9, "max_size": 1}}, "size.min_size", "larger"),
        ({"size": [1]}, "size", "object"),
        (attachment("filename"), "attachments[0].match_value", "not empty"),
        (attachment("icon", "x"), "attachments[0].match_type", "must be one of"),
        ({"subjects": [{}] * 1001}, "subjects", "more than"),
    ],
)
def test_refused_when_saved(conditions: dict[str, Any], field: str, reason: str) -> None:
    """What cannot work is refused with the field and the reason."""
    with pytest.raises(UsageError) as caught:
        compile_conditions(conditions)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize("pattern", ["(a+)+$", "((a{1,30}){1,30})", "(.*)*x", "(a|aa)+$", ".*.*.*.*=.*"])
def test_hostile_expressions_are_fast_or_refused(pattern: str) -> None:
    """Expressions that hang backtracking engines are either refused for their size or matched in linear time."""
    start = process_time()
    try:
        compiled = compile_conditions(text("body", pattern, how="regex", max_body_size=200_000))
    except UsageError:
        return
    compiled.match(facts(message("a" * 200_000 + "!")))
    assert process_time() - start < 2


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
NAMES = st.sampled_from([*KINDS, "match_type", "sender_type", "sender_value", "subject_value", "min_size", "x"])


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12))
def test_any_json_compiles_or_is_refused(data: Any) -> None:
    """Whatever comes from the API either compiles or is a UsageError, never anything else."""
    try:
        compiled = compile_conditions(data)
    except UsageError:
        return
    assert compiled.match(facts(mail())) in (True, False)
