"""MTA-STS policies as strangers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mailauth.mtasts import MAX_AGE, Mode, Policy, PolicyError, parse, record_id

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n"


def test_policy() -> None:
    """The RFC's own example is read, with either line end and whatever white space."""
    meant = Policy(Mode.ENFORCE, ("mail.example.com", "*.example.net", "backupmx.example.com"), 604_800)
    assert parse(GOOD) == meant
    assert parse(GOOD.replace(b"\r\n", b"\n").replace(b": ", b":  ").rstrip()) == meant
    assert parse(GOOD + b"future: thing\r\n") == meant
    assert parse("\r\n".join(meant.lines()).encode()) == meant


def test_names() -> None:
    """A wildcard stands for exactly one label; nothing else is a pattern."""
    policy = parse(GOOD)
    assert policy.names("mail.example.com") and policy.names("mx1.example.net")
    assert not any(map(policy.names, ["example.net", "a.mx1.example.net", "mail.example.com.evil.test", "xmail.example.com", ""]))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"mode: enforce\nmx: a.test\nmax_age: 1",
        b"version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1",
        b"version: STSv1\nmode: maybe\nmx: a.test\nmax_age: 1",
        b"version: STSv1\nmode: enforce\nmax_age: 1",
        b"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: soon",
        b"version: STSv1\nmode: enforce\nmx: *.*.test\nmax_age: 1",
        b"version: STSv1\nmode: enforce\nmx: a b.test\nmax_age: 1",
        b"<html>not found</html>",
        b"\xff\xfe",
        b"version: STSv1\nmode: enforce\nmax_age: 1\n" + b"".join(b"mx: a%d.test\n" % number for number in range(300)),
        GOOD + b"x: " + b"y" * 70_000,
    ],
)
def test_refused(bad: bytes) -> None:
    """What is no policy is refused with a reason."""
    with pytest.raises(PolicyError, match="."):
        parse(bad)


def test_withdrawn() -> None:
    """Mode none needs no hosts; an age of more than a year is a year."""
    assert parse(b"version: STSv1\nmode: none\nmax_age: 9999999999\n") == Policy(Mode.NONE, (), MAX_AGE)


def test_record() -> None:
    """Exactly one record of the right version with an id of letters and digits counts."""
    assert record_id([b"v=STSv1; id=20160831085700Z;"]) == "20160831085700Z"
    assert record_id([b"v=spf1 -all", b"v=STSv1;id=a1"]) == "a1"
    for none in ([], [b"v=STSv1; id=1", b"v=STSv1; id=2"], [b"v=STSv1;"], [b"v=STSv1; id=a-b"], [b"v=STSv10; id=1"], [b"v=STSv1; id=" + b"1" * 33]):
        assert record_id(none) == ""


@given(st.binary(max_size=300) | st.text(alphabet="versionmdxag: STv1\n*.", max_size=300).map(str.encode))
def test_total(octets: bytes) -> None:
    """Any octets are a policy or refused, nothing else."""
    record_id([octets])
    try:
        assert parse(octets).lines()
    except PolicyError as error:
        assert str(error)
