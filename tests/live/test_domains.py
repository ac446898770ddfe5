"""A domain from nothing to signed mail, over real sockets: published as the command line says, proved, given keys, locked down; sent with swaks, and
judged as it arrived by verifiers that are not ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dnslib import CNAME, QTYPE, RCODE, RR, TXT, DNSRecord

from tests import verifiers
from tests.live import needs
from tests.live.harness import Appliance, free_port
from tests.live.sink import SinkProcess
from tests.live.submitting import PASSWORD, Names, refusal

pytestmark = pytest.mark.slow


class Zones(Names):
    """The same with CNAMEs: `aliases` {name: target}."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        super().__init__({})

    def answer(self, name: str, kind: int, reply: DNSRecord) -> None:
        if target := self.aliases.get(name):
            reply.add_answer(RR(name, QTYPE.CNAME, ttl=1, rdata=CNAME(target)))
            name = target
        if name in self.zone and kind == QTYPE.TXT:
            text = self.zone[name].encode()
            strings = [text[start : start + 255] for start in range(0, len(text), 255)]
            reply.add_answer(RR(name, QTYPE.TXT, ttl=1, rdata=TXT(strings)))
        elif not reply.rr and name not in self.zone:
            reply.header.rcode = RCODE.NXDOMAIN

    def publish(self, appliance: Appliance, domain: str) -> None:
        """As the command line says, the customer's records and ours."""
        for record in appliance.rows("domain", "dns", domain)[0]["records"]:
            (self.zone if record["kind"] == "TXT" else self.aliases)[record["name"]] = record["value"]
        for line in appliance.cli("dkim", "records", "--zone").splitlines()[1:]:
            name, _, _, _, text = line.split(" ", 4)
            self.zone[name.removesuffix(".")] = text.replace('" "', "").strip('"')


@pytest.fixture
def zones() -> Iterator[Zones]:
    """A DNS server."""
    zones = Zones()
    zones.zone["spf.mail.test"] = "v=spf1 ip4:127.0.0.1 -all"
    yield zones
    zones.socket.close()


def test_from_nothing_to_signed_mail(make: Callable[..., Appliance], zones: Zones, tmp_path: Any) -> None:
    """A domain is added, published, proved and given keys by the command line while the appliance runs; what is then sent carries signatures that
    other people's verifiers find good, and a lockdown record stops the second user and not the first."""
    port = free_port()
    with SinkProcess(tmp_path / "far.log", "--keep") as far:
        appliance = make(
            {
                "server": {"hostname": "relay.mail.test"},
                "listener": [
                    {"kind": "mx", "address": "127.0.0.1", "port": free_port()},
                    {"kind": "submission", "address": "127.0.0.1", "port": port},
                ],
                "domains": {"zone": "mail.test"},
                "dns": {"servers": [f"127.0.0.1:{zones.port}"]},
                "delivery": {"smarthost": f"127.0.0.1:{far.port}", "smarthost_tls": "none"},
            }
        )
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n")
        for user in ("app", "other"):
            appliance.cli("smtp-user", "add", user, "--domain", "sender.test", "--password-file", str(secret))
        appliance.start()

        def swaks(user: str) -> str:
            command = [
                needs.program("swaks"), "--server", f"127.0.0.1:{port}", "-tls", "--auth", "PLAIN", "--auth-user", user, "--auth-password", PASSWORD,
                "--from", "ann@sender.test", "--to", "bob@far.test", "--helo", "client.test", "--body", "Hello  Bob, \n.\n..\n\nthis is it.\n\n\n",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
            return done.stdout + done.stderr

        appliance.cli("domain", "add", "sender.test", "--destination", "127.0.0.1:9")
        zones.publish(appliance, "sender.test")
        assert "ownership is proved" in appliance.cli("domain", "verify", "sender.test")
        zones.publish(appliance, "sender.test")
        (report,) = appliance.rows("domain", "verify", "sender.test")
        assert report["is_ready"], report
        assert "250 2.0.0 OK queued as" in swaks("app")
        content = far.wait_for(1)[0]["content"].encode("latin-1")
        keys = {f"{row['selector']}._domainkey.sender.test": row["record"] for row in appliance.rows("dkim", "list")}
        assert verifiers.dkimpy(content, keys) == [("jm1e", "pass"), ("jm1", "pass")]
        for name, said in verifiers.others(content, keys).items():
            assert ("jm1", "pass") in said and not any(result != "pass" for _, result in said), name

        (record,) = appliance.rows("lockdown", "record", "sender.test", "--user", "app")
        zones.zone[record["name"]] = record["value"]
        appliance.restart()  # it knew for a while that there was none
        assert "250 2.0.0 OK queued as" in swaks("app")
        uuid = appliance.rows("smtp-user", "show", "other")[0]["uuid"]
        told = refusal(swaks("other"))
        assert told.startswith("550 5.7.1 [LOCKDOWN] This sender is not authorized to send from sender.test. See https://relay.mail.test/?id=")
        assert told.endswith(f"&auth={uuid}")
        assert '"standing": "refused"' in appliance.cli("lockdown", "check", "sender.test", "--user", "other", "--json", check=False)
