"""Findings about the subject."""

from __future__ import annotations

import pytest

from tests.rules.checks.judging import mail, symbols


@pytest.mark.parametrize(
    ("subject", "symbol"),
    [
        ("", "SUBJECT_MISSING"),
        ("OPEN THIS MESSAGE NOW", "SUBJECT_CAPITALS"),
        ("=?utf-8?q?Your_acc=E2=80=8Bount?=", "SUBJECT_INVISIBLE"),
        ("=?utf-8?q?Your_=D0=B0ccount?=", "SUBJECT_MIXED"),
        ("=?utf-8?b?8J2QgfCdkJrwnZCn8J2QpA==?=", "SUBJECT_STYLED"),
        ("=?utf-8?b?8J+OgSBHaWZ0IPCfjoE=?=", "SUBJECT_PICTURES"),
        ("f r e e m o n e y", "SUBJECT_GAPPED"),
        ("Re: our talk", "SUBJECT_REPLY_FAKED"),
        ("bob@demo.test your storage", "SUBJECT_ADDRESS"),
        ("look at http://x.example/", "SUBJECT_URL"),
        ("You get $4,000", "SUBJECT_MONEY"),
        ("Hurry!", "SUBJECT_SHOUTS"),
        ("Hurry!!!", "SUBJECT_SHOUTS"),
        ("Your parcel [CY1022030750US]", "SUBJECT_NUMBERED"),
        ("=?utf-8?B?WW91ciBhY2NvdW50?=", "SUBJECT_ENCODED"),
        ("Your Paypa1 receipt", "SUBJECT_BRAND_IMITATED"),
        ("Your PayPal receipt", "SUBJECT_BRAND"),
    ],
)
def test_subject(subject: str, symbol: str) -> None:
    """Each disguise and pretence has its symbol."""
    assert symbol in symbols(mail(subject=subject))


@pytest.mark.parametrize(
    "subject", ["Lunch", "Протокол встречи", "会議の議事録", "Grüße aus Köln".encode().decode("latin-1"), "Minutes of 2023-11-14", "RFC 5322"]
)
def test_honest_subjects(subject: str) -> None:
    """Ordinary subjects of any alphabet have none."""
    assert symbols(mail(subject=subject)) <= {"HEADER_OCTETS"}


def test_a_real_answer_is_none_that_pretends() -> None:
    """Re: with a reference is what it says."""
    assert symbols(mail(subject="Re: our talk", in_reply_to="<a@example.org>")) == set()
