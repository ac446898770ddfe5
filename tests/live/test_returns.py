"""What comes back, over real sockets: a Postfix that takes mail and bounces it later, a complaint, a forged one; forwards that leave rewritten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dnslib import CNAME, QTYPE, RCODE, RR, DNSRecord

from tests.inbound.test_returning import COMPLAINT, report
from tests.live import postfix
from tests.live.harness import Appliance, merge, wait_until
from tests.live.postfix import Postfix
from tests.live.sink import SinkProcess
from tests.live.submitting import Names, Submitting
from tests.live.talk import Client

pytestmark = pytest.mark.slow

LETTER = "From: app@example.org\r\nTo: {0}\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\ntext\r\n"


class Aliases(Names):
    """A DNS server that has nothing but CNAMEs: {name: target}."""

    def answer(self, name: str, kind: int, reply: DNSRecord) -> None:
        if target := self.zone.get(name):
            reply.add_answer(RR(name, QTYPE.CNAME, ttl=1, rdata=CNAME(target)))
        else:
            reply.header.rcode = RCODE.NXDOMAIN


class Home:
    """An appliance whose domain example.org has published its name for return paths; mail for it goes to the sink, all other to `smarthost`."""

    def __init__(self, make: Callable[..., Appliance], sink: SinkProcess, place: Path, smarthost: int = 0) -> None:
        self.names = Aliases({"bounces.example.org": "return.mail.test"})
        settings, ports = Submitting.settings(self.names, sink)
        more: dict[str, Any] = {"domains": {"zone": "mail.test"}, "delivery": {"smarthost": f"127.0.0.1:{smarthost or sink.port}"}}
        self.appliance = make(merge(settings, more))
        self.house = Submitting(self.appliance, ports, place / "password")
        self.port = self.appliance.smtp_port
        self.sink = sink
        self.appliance.domain("example.org", sink.port)
        self.house.user("app", "--domain", "example.org")
        self.appliance.cli("domain", "verify", "example.org", check=False)
        self.appliance.start()

    def submit(self, to: str) -> str:
        """The user writes. -> the message's uid"""
        with self.house.session() as session:
            session.sendmail("app@example.org", [to], LETTER.format(to))
        return next(row["uid"] for row in self.appliance.rows("log", "--to", to))

    def back(self, to: str, content: bytes, sender: str = "") -> str:
        """A host connects and brings something. -> the last reply"""
        with Client(self.port) as client:
            client.ask("EHLO mx.far.test", "250")
            return client.attempt(to, content, sender)

    def kinds(self, uid: str) -> list[str]:
        """The timeline."""
        return [event["kind"] for event in self.appliance.rows("message", "show", uid)[0]["timeline"]]


@pytest.fixture
def home(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> Iterator[Home]:
    """With a sink for all mail."""
    home = Home(make, far, tmp_path)
    yield home
    home.names.close()


@pytest.mark.skipif(bool(postfix.missing()), reason=postfix.missing() or "-")
def test_postfix_bounces_later(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> None:
    """Postfix answers 250 and bounces: the report comes to the return path, the delivery is rejected after all, the recipient is suppressed, the
    sender gets Postfix's own report, and the next message to the address is refused at RCPT."""
    peer = Postfix()
    home = Home(make, far, tmp_path, peer.port)
    with SinkProcess(tmp_path / "behind.log", "--reject") as behind:
        ways = f"{{far.test = smtp:[127.0.0.1]:{behind.port}}}, {{bounces.example.org = smtp:[127.0.0.1]:{home.port}}}"
        peer.settings |= {"transport_maps": f"inline:{{ {ways} }}", "defer_transports": ""}
        with peer:
            bounced_later(home, peer, far)
    home.names.close()


def bounced_later(home: Home, peer: Postfix, far: SinkProcess) -> None:
    """See above."""
    uid = home.submit("someone@far.test")
    (row,) = wait_until(lambda: home.appliance.rows("returns", "list", "--message", uid), 30, f"the bounce has come: {peer.log()}")
    assert (row["kind"], row["status"], row["word"], row["recipient"], row["passed_on"]) == (
        "bounce", "5.1.1", "no-such-user", "someone@far.test", True,
    ), peer.log()  # fmt: skip
    assert home.kinds(uid)[-2:] == ["bounced-later", "suppressed"]
    (delivery,) = home.appliance.rows("message", "show", uid)[0]["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("rejected", "returned")
    (told,) = far.wait_for(1)
    assert (told["sender"], told["recipients"]) == ("", ["app@example.org"])
    assert "This is the mail system at host peer.example.test" in told["content"]
    assert "[SUPPRESSED] someone@far.test" in home.house.swaks("--to", "someone@far.test", sender="app@example.org")


def test_complaint_and_forgery(home: Home, far: SinkProcess) -> None:
    """Mail leaves under a return path that the command line explains; a complaint to it suppresses and goes to nobody; one letter off, it is 550."""
    uid = home.submit("bob@far.test")
    (sent,) = far.wait_for(1)
    path = sent["sender"]
    assert path.startswith("b+") and path.endswith("@bounces.example.org")
    shown = home.appliance.rows("returns", "token", path)[0]
    assert (shown["status"], shown["about"], shown["recipient"], shown["sender"]) == ("ok", uid, "bob@far.test", "app@example.org")
    assert home.back(path, COMPLAINT, "fbl@far.test").startswith("250 2.0.0 OK")
    assert home.kinds(uid)[-2:] == ["complaint", "suppressed"]
    assert home.appliance.rows("suppression", "show", "bob@far.test")[0]["reason"] == "complaint"
    other = path[:-25] + ("a" if path[-25] != "a" else "b") + path[-24:]
    assert home.back(other, report()).startswith("550 5.7.1 This is no return address")
    assert len(far.received()) == 1


def test_survives_a_kill(home: Home, far: SinkProcess) -> None:
    """What was answered 250 is there after a kill, joined, and goes on to the sender."""
    uid = home.submit("bob@far.test")
    path = far.wait_for(1)[0]["sender"]
    assert home.back(path, b"From: bob@far.test\r\nAuto-Submitted: auto-replied\r\nSubject: Away\r\n\r\nBack on Monday.\r\n").startswith("250")
    home.appliance.kill()
    home.appliance.start()
    assert home.kinds(uid)[-1] == "auto-reply"
    reply = far.wait_for(2)[1]
    assert (reply["sender"], reply["recipients"]) == ("", ["app@example.org"]) and "Back on Monday." in reply["content"]


def test_forward(home: Home, far: SinkProcess) -> None:
    """Mail that an alias sends elsewhere leaves under SRS; a bounce to that goes to who wrote it; changed, it is 550."""
    home.appliance.cli("alias", "add", "sales@example.org", "someone@elsewhere.test")
    with Client(home.port) as client:
        client.ask("EHLO mx.origin.test", "250")
        client.send("sales@example.org", sender="ann@origin.test", content=LETTER.format("sales@example.org").encode())
    (sent,) = far.wait_for(1)
    assert sent["recipients"] == ["someone@elsewhere.test"]
    assert sent["sender"].startswith("SRS0=") and sent["sender"].endswith("=origin.test=ann@mail.test")
    assert home.back(sent["sender"], report("someone@elsewhere.test")).startswith("250")
    bounced = far.wait_for(2)[1]
    assert (bounced["sender"], bounced["recipients"]) == ("", ["ann@origin.test"])
    assert home.back(sent["sender"].replace("ann", "eve"), report()).startswith("550 5.7.1 This is no return address")
