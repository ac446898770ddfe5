"""Users who sign in and send, over real sockets with swaks: PLAIN and LOGIN under TLS, every reply a client can meet, and what becomes of an open
session."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.harness import Appliance
from tests.live.sink import SinkProcess
from tests.live.submitting import GTUBE, PASSWORD, Names, Submitting, refusal

pytestmark = pytest.mark.slow

@pytest.fixture
def house(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> Iterator[Submitting]:
    """With the user 'app', who may send from example.org and, as far as we are concerned, from closed.test."""
    names = Names({"_jm.closed.test": "v=jm1 auth=somebody-else"})
    settings, ports = Submitting.settings(names, far)
    house = Submitting(make(settings), ports, tmp_path / "password")
    house.user("app", "--domain", "example.org", "--domain", "closed.test")
    house.appliance.start()
    yield house
    names.close()


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["-tls", "-tlsc"])
def test_signed_in(house: Submitting, far: SinkProcess, auth: str, tls: str) -> None:
    """Both mechanisms over STARTTLS and over TLS from the start; what arrives says whose it is by uuid, and the name nowhere."""
    talk = house.swaks("--header", "X-JetEmail-User: forged", tls=tls, auth=auth)
    assert "<~  235 2.7.0" in talk, talk
    assert "queued as" in talk, talk
    (row,) = far.wait_for(1)
    user = house.appliance.rows("smtp-user", "show", "app")[0]
    assert row["content"].count("X-JetEmail-User:") == 1
    assert f"X-JetEmail-User: {user['uuid']}\r\n" in row["content"]
    assert "forged" not in row["content"]
    assert "ESMTPSA" in row["content"]
    assert user["used"] == 1
    log = house.appliance.rows("message", "show", house.appliance.rows("log", "--limit", "1")[0]["uid"])[0]
    assert (log["direction"], log["user"]) == ("outbound", user["uuid"])


def test_no_password_in_clear(house: Submitting) -> None:
    """Without TLS, AUTH is neither offered nor taken."""
    with smtplib.SMTP("127.0.0.1", house.ports["-tls"], timeout=30) as session:
        session.ehlo()
        assert not session.has_extn("auth")
        secret = base64.b64encode(f"\0app\0{PASSWORD}".encode()).decode()
        assert session.docmd("AUTH", f"PLAIN {secret}")[0] == 538
        assert session.docmd("MAIL", "FROM:<a@example.org>")[0] == 530


def test_replies(house: Submitting) -> None:
    """The replies of the documents, to the letter."""
    user = house.appliance.rows("smtp-user", "show", "app")[0]["uuid"]
    assert refusal(house.swaks(password="wrong password")) == "535 Authentication failed"
    assert refusal(house.swaks(user="nobody")) == "535 Authentication failed"
    closed = "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from closed.test. See"
    for sender, word in (("a@other.test", "550 [ACL] Blocked. See"), ("a@closed.test", closed)):
        said = refusal(house.swaks(sender=sender))
        uid = house.appliance.rows("log", "--limit", "1")[0]["uid"]
        assert said == f"{word} https://live.example.test/?id={uid}&auth={user}"
    assert "[ACL]" in refusal(house.swaks("--header", "From: a@other.test"))
    assert refusal(house.swaks("--body", GTUBE)).startswith("550 [SPAM] Blocked. See https://live.example.test/?id=")
    house.set("--network", "203.0.113.0/24")
    assert refusal(house.swaks()) == "535 IP not authorized"
    assert refusal(house.swaks(password="wrong password")) == "535 Authentication failed"
    house.set("--network", "127.0.0.1", "--quota", "1")
    assert "queued as" in house.swaks()
    assert refusal(house.swaks()) == "421 4.7.1 Rate limit exceeded. Try again later."
    house.appliance.cli("smtp-user", "unlock", "app")
    assert "queued as" in house.swaks()
    house.set("--suspended", "yes")
    assert refusal(house.swaks()) == "535 Authentication failed"


@pytest.mark.parametrize("words", [("set", "app", "--suspended", "yes"), ("delete", "app"), ("password", "app")])
def test_open_session_ends(house: Submitting, words: tuple[str, ...]) -> None:
    """A change from the command line ends a session that is signed in, at its next command."""
    session = house.session()
    assert session.mail("a@example.org")[0] == 250
    house.appliance.cli("smtp-user", *words)
    assert session.rcpt("x@far.test")[0] == 421
    with pytest.raises(smtplib.SMTPServerDisconnected):
        session.noop()
