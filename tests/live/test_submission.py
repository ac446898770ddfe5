"""Users who sign in and send, over real sockets with swaks: PLAIN and LOGIN under TLS, every reply a client can meet, and what becomes of an open
session."""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, RR, TXT, DNSRecord

from tests.live import needs
from tests.live.harness import Appliance, free_port
from tests.live.sink import SinkProcess
from tests.live.talk import careless

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


class Names:
    """A DNS server that has the TXT records given, and NXDOMAIN for all else."""

    def __init__(self, zone: dict[str, str]) -> None:
        self.zone = zone
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                data, client = self.socket.recvfrom(4096)
            except OSError:
                return
            query = DNSRecord.parse(data)
            name = str(query.q.qname).rstrip(".").lower()
            reply = query.reply()
            if name not in self.zone:
                reply.header.rcode = RCODE.NXDOMAIN
            elif query.q.qtype == QTYPE.TXT:
                reply.add_answer(RR(name, QTYPE.TXT, ttl=60, rdata=TXT(self.zone[name])))
            self.socket.sendto(reply.pack(), client)


class House:
    """An appliance with the user 'app' who may send from example.org, all mail going to a sink."""

    def __init__(self, appliance: Appliance, submission: int, submissions: int) -> None:
        self.appliance = appliance
        self.ports = {"-tls": submission, "-tlsc": submissions}

    def swaks(
        self, *options: str, tls: str = "-tls", auth: str = "PLAIN", user: str = "app", password: str = PASSWORD, sender: str = "a@example.org"
    ) -> str:
        """The conversation."""
        command = [
            needs.program("swaks"), "--server", f"127.0.0.1:{self.ports[tls]}", tls, "--auth", auth, "--auth-user", user, "--auth-password", password,
            "--from", sender, "--to", "someone@far.test", "--helo", "client.test", *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
        return done.stdout + done.stderr

    def set(self, *words: str) -> None:
        self.appliance.cli("smtp-user", "set", "app", *words)

    def session(self) -> smtplib.SMTP:
        """Signed in over STARTTLS."""
        session = smtplib.SMTP("127.0.0.1", self.ports["-tls"], timeout=30)
        session.starttls(context=careless())
        session.login("app", PASSWORD)
        return session


@pytest.fixture
def house(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Any) -> Iterator[House]:
    names = Names({"_jm.closed.test": "v=jm1 auth=somebody-else"})
    submission, submissions = free_port(), free_port()
    ports = {"mx": free_port(), "submission": submission, "submissions": submissions}
    appliance = make(
        {
            "listener": [{"kind": kind, "address": "127.0.0.1", "port": port} for kind, port in ports.items()],
            "dns": {"servers": [f"127.0.0.1:{names.port}"]},
            "delivery": {"smarthost": f"127.0.0.1:{far.port}", "smarthost_tls": "none"},
        }
    )
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    appliance.cli("smtp-user", "add", "app", "--domain", "example.org", "--domain", "closed.test", "--password-file", str(secret))
    appliance.start()
    yield House(appliance, submission, submissions)
    names.socket.close()


def reply(talk: str) -> str:
    """The last refusal of a conversation."""
    said: list[str] = re.findall(r"^<[~*]\* +(.*)$", talk, re.MULTILINE)
    assert said, talk
    return said[-1]


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["-tls", "-tlsc"])
def test_signed_in(house: House, far: SinkProcess, auth: str, tls: str) -> None:
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


def test_no_password_in_clear(house: House) -> None:
    """Without TLS, AUTH is neither offered nor taken."""
    with smtplib.SMTP("127.0.0.1", house.ports["-tls"], timeout=30) as session:
        session.ehlo()
        assert not session.has_extn("auth")
        secret = base64.b64encode(f"\0app\0{PASSWORD}".encode()).decode()
        assert session.docmd("AUTH", f"PLAIN {secret}")[0] == 538
        assert session.docmd("MAIL", "FROM:<a@example.org>")[0] == 530


def test_replies(house: House) -> None:
    """The replies of the documents, to the letter."""
    user = house.appliance.rows("smtp-user", "show", "app")[0]["uuid"]
    assert reply(house.swaks(password="wrong password")) == "535 Authentication failed"
    assert reply(house.swaks(user="nobody")) == "535 Authentication failed"
    closed = "550 5.7.1 [LOCKDOWN] This sender is not authorized to send from closed.test. See"
    for sender, word in (("a@other.test", "550 [ACL] Blocked. See"), ("a@closed.test", closed)):
        said = reply(house.swaks(sender=sender))
        uid = house.appliance.rows("log", "--limit", "1")[0]["uid"]
        assert said == f"{word} https://live.example.test/?id={uid}&auth={user}"
    assert "[ACL]" in reply(house.swaks("--header", "From: a@other.test"))
    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    assert reply(house.swaks("--body", gtube)).startswith("550 [SPAM] Blocked. See https://live.example.test/?id=")
    house.set("--network", "203.0.113.0/24")
    assert reply(house.swaks()) == "535 IP not authorized"
    assert reply(house.swaks(password="wrong password")) == "535 Authentication failed"
    house.set("--network", "127.0.0.1", "--quota", "1")
    assert "queued as" in house.swaks()
    assert reply(house.swaks()) == "421 4.7.1 Rate limit exceeded. Try again later."
    house.appliance.cli("smtp-user", "unlock", "app")
    assert "queued as" in house.swaks()
    house.set("--suspended", "yes")
    assert reply(house.swaks()) == "535 Authentication failed"


@pytest.mark.parametrize("words", [("set", "app", "--suspended", "yes"), ("delete", "app"), ("password", "app")])
def test_open_session_ends(house: House, words: tuple[str, ...]) -> None:
    """A change from the command line ends a session that is signed in, at its next command."""
    session = house.session()
    assert session.mail("a@example.org")[0] == 250
    house.appliance.cli("smtp-user", *words)
    assert session.rcpt("x@far.test")[0] == 421
    with pytest.raises(smtplib.SMTPServerDisconnected):
        session.noop()


def test_quota_of_many_sessions(house: House) -> None:
    """Fifty sessions at once against a quota of ten: ten messages, no more."""
    house.set("--quota", "10")

    def send(number: int) -> int:
        try:
            with house.session() as session:
                session.sendmail("a@example.org", ["x@far.test"], b"From: a@example.org\r\nSubject: %d\r\n\r\nx\r\n" % number)
                return 250
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(send, range(50)))
    assert codes.count(250) == 10, codes
    assert house.appliance.rows("smtp-user", "show", "app")[0]["used"] == 10
    assert house.appliance.rows("smtp-user", "show", "app")[0]["status"] == "quota-locked"
