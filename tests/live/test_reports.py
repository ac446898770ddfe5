"""Two appliances and a signed zone: one serves MTA-STS policies and takes reports in, the other obeys the policies and reports how TLS went."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.inbound.test_aggregates import mail, zipped
from tests.live.harness import Appliance, free_port, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client
from tests.live.test_transport import last_attempt
from tests.live.zones import signed, unbound
from tests.mailauth.test_reports import RECORD, XML

pytestmark = pytest.mark.slow

REPORTS = "reports@good.signed.test"
DMARC = XML.replace(b"<domain>A.test", b"<domain>good.signed.test") % (RECORD % 7)
LETTER = (
    b"From: Some One <someone@a.signed.test>\r\nTo: you@live.test\r\nSubject: Thursday\r\nDate: Thu, 19 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@a.signed.test>\r\n\r\nSee you at ten on Thursday, as agreed.\r\n"
)


class Pair:
    """`there` takes mail for good.signed.test, whose policy names its host, and wrong.signed.test, whose policy names another; `here` writes to
    both."""

    def __init__(self, make: Callable[..., Appliance], place: Path, far: SinkProcess) -> None:
        self.place = place
        self.far = far
        self.ca = place / "ca.pem"
        self.https = free_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca))
        issued = authority.issue_cert("mx.signed.test")
        issued.cert_chain_pems[0].write_to_path(str(place / "mx.pem"))
        issued.private_key_pem.write_to_path(str(place / "mx.key"))
        self.there = make(
            {
                "server": {"hostname": "mx.signed.test"},
                "tls": {"certificate": str(place / "mx.pem"), "key": str(place / "mx.key")},
                "web": {"policy_port": self.https, "policy_address": "127.0.0.1"},
                "reports": {"address": REPORTS},
            },
            place / "there",
        )
        self.here = make({"server": {"hostname": "a.signed.test"}}, place / "here")
        for name in ("good", "wrong"):
            self.there.domain(f"{name}.signed.test", far.port)
            pem = self.there.directory / "var" / "tls" / f"mta-sts.{name}.signed.test.pem"
            pem.parent.mkdir(parents=True, exist_ok=True)
            authority.issue_cert(f"mta-sts.{name}.signed.test").private_key_and_cert_chain_pem.write_to_path(str(pem))
        self.here.domain("live.test", far.port)
        for name in ("good", "wrong"):
            self.here.cli("alias", "add", f"{name}@live.test", f"someone@{name}.signed.test")

    def zone(self) -> tuple[str, str]:
        """What the command line says is to be published."""
        text = "mx A 127.0.0.1\na A 127.0.0.1\nmta-sts A 127.0.0.1\n"
        for name, more in (("good", ()), ("wrong", ("--mx", "mx.elsewhere.test"))):
            (shown,) = self.there.rows("mta-sts", "set", f"{name}.signed.test", "--mode", "enforce", *more)
            text += f"{name} MX 10 mx\n" + "".join(f"{line}\n" for line in shown["records"])
        return signed("signed.test", text.replace("mta-sts.mx.signed.test.", "mta-sts.signed.test."))

    def start(self, dns: int) -> None:
        """Both, with the name server at that port."""
        servers = {"dns": {"servers": [f"127.0.0.1:{dns}"], "validating": True, "timeout": 3.0}}
        self.there.configure(servers)
        self.here.configure({**servers, "delivery": {"mx_port": self.there.smtp_port, "ca_file": str(self.ca), "mta_sts_port": self.https}})
        self.there.start()
        self.here.start()

    def write(self, name: str) -> None:
        """A message from here to there."""
        with Client(self.here.smtp_port) as client:
            client.send(f"{name}@live.test", LETTER, sender="someone@a.signed.test")

    def bring(self, content: bytes, to: str = REPORTS) -> str:
        """Somebody else writes to `there`. -> the last reply"""
        with Client(self.there.smtp_port) as client:
            client.ask("EHLO mx.far.test", "250")
            return client.attempt(to, content, "dmarc@far.test")

    def get(self, path: str, host: str) -> tuple[int, str]:
        """What `there` answers over HTTPS to whoever asks for that host."""
        context = ssl.create_default_context(cafile=str(self.ca))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Direct(context))
        try:
            with opener.open(f"https://{host}:{self.https}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""


class Direct(urllib.request.HTTPSHandler):
    """Every name is this machine; the certificate must be that name's."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self.trusted = context

    def https_open(self, request: Any) -> Any:
        """See HTTPSHandler."""
        import http.client
        import socket

        trusted = self.trusted

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                self.sock = trusted.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname=self.host)

        return self.do_open(Connection, request)


@contextmanager
def running(make: Callable[..., Appliance], place: Path, far: SinkProcess) -> Iterator[Pair]:
    """A pair that runs."""
    pair = Pair(make, place, far)
    with unbound(place / "dns", {"signed.test": pair.zone()}, {}) as port:
        pair.start(port)
        yield pair


def test_policies_and_reports(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> None:
    """The policy one appliance serves is obeyed by the other; what the other counts comes back as a report and is taken in, failures and all."""
    with running(make, tmp_path, far) as pair:
        pair.write("good")
        pair.write("wrong")
        assert [message["recipients"] for message in far.wait_for(1)] == [["someone@good.signed.test"]]
        wait_until(lambda: [row for row in pair.here.queued() if row["reason"]], 20, "one that waits")
        (waiting,) = pair.here.queued()
        assert (waiting["target"], waiting["reason"]) == ("someone@wrong.signed.test", "tls")
        assert "does not name mx.signed.test" in waiting["reply"]
        event = last_attempt(pair.here, "good@live.test")["security"]
        assert event["required"].startswith("MTA-STS enforce") and event["found"] and event["decided"] == "used with TLSv1.3, verified", event
        refused = last_attempt(pair.here, "wrong@live.test")["security"]
        assert refused["required"].startswith("MTA-STS enforce") and refused["decided"].startswith("not used: "), refused

        pair.here.stop()  # which writes down what was counted in the last minute
        assert pair.here.rows("transport", "send-reports", "--today") == [{"sent": 2}]
        pair.here.start()
        found = wait_until(lambda: len(rows := pair.there.rows("reports", "list", "--kind", "tls")) == 2 and rows, 30, "two reports")
        by_domain = {row["domain"]: row for row in found}
        good, wrong = by_domain["good.signed.test"], by_domain["wrong.signed.test"]
        assert (good["passed"], good["failed"], good["policy"], good["organization"]) == (1, 0, "sts", "a.signed.test")
        assert wrong["passed"] == 0 and wrong["failed"] >= 1 and wrong["author"] == "a.signed.test"
        (shown,) = pair.there.rows("reports", "show", str(wrong["id"]))
        assert {(row[1], row[3], row[4]) for row in shown["rows"]} == {("mx.signed.test", "validation-failure", False)}
        (summed,) = pair.there.rows("reports", "sources", "--domain", "wrong.signed.test")
        assert (summed["failed"], summed["results"]) == (wrong["failed"], ["validation-failure"])
        message = pair.there.rows("message", "show", good["message"])[0]
        assert message["timeline"][-1]["kind"] == "taken-in" and message["deliveries"][0]["reason"] == "report"
        assert len(far.received()) == 1  # nobody got the reports themselves
        pair.here.stop()
        pair.there.stop()


def test_only_policies(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> None:
    """The port that serves policies has a certificate for each name and serves nothing else; a policy that is changed or removed is so at once, and
    the check of the domain's records says what has to follow."""
    with running(make, tmp_path, far) as pair:
        host, path = "mta-sts.good.signed.test", "/.well-known/mta-sts.txt"
        assert pair.get(path, host) == (200, "version: STSv1\r\nmode: enforce\r\nmx: mx.signed.test\r\nmax_age: 604800\r\n")
        assert pair.get(path, "mta-sts.wrong.signed.test")[1].splitlines()[2] == "mx: mx.elsewhere.test"
        for other in ("/", "/logs", "/metrics", "/healthz", "/v1/messages", path + "/"):
            assert pair.get(other, host) == (404, ""), other
        records = {record["subject"]: record for record in pair.there.rows("domain", "verify", "good.signed.test")[0]["records"]}
        assert {records[subject]["status"] for subject in ("mta-sts", "tls-rpt")} == {"ok"}, records
        pair.there.cli("mta-sts", "set", "good.signed.test", "--mode", "testing")
        assert "mode: testing" in pair.get(path, host)[1]
        records = {record["subject"]: record for record in pair.there.rows("domain", "verify", "good.signed.test")[0]["records"]}
        assert records["mta-sts"]["status"] == "wrong" and "another policy" in records["mta-sts"]["found"]
        pair.there.cli("mta-sts", "remove", "good.signed.test")
        assert pair.get(path, host) == (404, "")
        pair.there.stop()


def test_dmarc_survives_a_kill(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path) -> None:
    """A report that was answered 250 is there after a kill, once; what is none is 250 too, and its reason is there."""
    with running(make, tmp_path, far) as pair:
        assert pair.bring(mail(zipped(DMARC), "far.test!good.signed.test!1!2.zip")).startswith("250 2.0.0 OK")
        pair.there.kill()
        pair.there.start()
        assert pair.bring(mail(zipped(DMARC), "far.test!good.signed.test!1!2.zip")).startswith("250 2.0.0 OK")
        assert pair.bring(mail(zipped(DMARC)[:-40])).startswith("250 2.0.0 OK")
        fault, report = pair.there.rows("reports", "list")
        assert (fault["kind"], fault["reason"]) == ("fault", "the zip file is broken: BadZipFile")
        assert (report["kind"], report["domain"], report["passed"], report["author"]) == ("dmarc", "good.signed.test", 7, "far.test")
        assert pair.there.queued() == [] and far.received() == []
        pair.there.stop()
