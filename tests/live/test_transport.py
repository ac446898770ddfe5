"""What other domains ask of TLS, end to end: DANE from a zone signed here, MTA-STS from an HTTPS server of our own, hosts that keep to it and hosts
that do not."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client
from tests.live.zones import signed, unbound

pytestmark = pytest.mark.slow

WRONG = "ab" * 32
LETTER = (
    b"From: Some One <someone@free.plain.test>\r\nTo: you@live.test\r\nSubject: Thursday\r\nDate: Thu, 19 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@free.plain.test>\r\n\r\nSee you at ten on Thursday, as agreed.\r\n"
)


@contextmanager
def policies(place: Path, authority: trustme.CA, files: dict[str, bytes], asked: list[str]) -> Iterator[int]:
    """HTTPS for mta-sts.<domain> of each file, with a certificate for all of them. -> its port."""
    issued = authority.issue_cert(*(f"mta-sts.{domain}" for domain in files))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = place / "https.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    context.load_cert_chain(pem)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            domain = self.headers["Host"].partition(":")[0].removeprefix("mta-sts.")
            asked.append(domain + self.path)
            self.send_response(200 if self.path == "/.well-known/mta-sts.txt" else 404)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(files[domain])

        def log_message(self, *words: Any) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def sts(host: str) -> bytes:
    """A policy in mode enforce."""
    return f"version: STSv1\r\nmode: enforce\r\nmx: {host}\r\nmax_age: 86400\r\n".encode()


def last_attempt(appliance: Appliance, recipient: str) -> dict[str, Any]:
    """The event of the last attempt to reach `recipient`."""
    found: dict[str, Any] = {}
    for row in appliance.rows("log", "--limit", "100"):
        shown = appliance.rows("message", "show", row["uid"])[0]
        if any(one["recipient"] == recipient for one in shown["deliveries"]):
            for event in shown["timeline"]:
                if event["kind"] == "attempt":
                    found = event["detail"]
    return found


def test_transport(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """DANE delivers to the certificate in TLSA and to no other, and to nobody when DNS was tampered with; MTA-STS delivers to the host the policy
    names and to no other; where nothing is promised, mail goes."""
    authority = trustme.CA()
    issued = authority.issue_cert("mx.good.plain.test", "mx.wrong.plain.test")
    certificate, key, ca = tmp_path / "mx.pem", tmp_path / "mx.key", tmp_path / "ca.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    asked: list[str] = []
    files = {"good.plain.test": sts("mx.good.plain.test"), "wrong.plain.test": sts("mx.elsewhere.plain.test")}
    with (
        SinkProcess(tmp_path / "far.log", "--cert", str(certificate), "--key", str(key)) as far,
        policies(tmp_path, authority, files, asked) as https,
    ):
        records = ""
        for name, data in (("good", digest), ("bad", WRONG), ("bogus", digest)):
            records += f"{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\n_{far.port}._tcp.mx.{name} TLSA 3 1 1 {data}\n"
        zone, anchor = signed("signed.test", records)
        tampered = "\n".join(
            line.replace(digest, WRONG) if line.startswith(f"_{far.port}._tcp.mx.bogus") else line for line in zone.split("\n")
        )
        plain = "".join(
            f'{name} MX 10 mx.{name}\nmx.{name} A 127.0.0.1\nmta-sts.{name} A 127.0.0.1\n_mta-sts.{name} TXT "v=STSv1; id=1"\n'
            for name in ("good", "wrong")
        )
        plain += "free MX 10 mx.free\nmx.free A 127.0.0.1\n"
        with unbound(tmp_path / "dns", {"signed.test": (tampered, anchor)}, {"plain.test": plain}) as port:
            appliance = make(
                {
                    "dns": {"servers": [f"127.0.0.1:{port}"], "validating": True, "timeout": 3.0},
                    "delivery": {"mx_port": far.port, "ca_file": str(ca), "mta_sts_port": https},
                }
            )
            appliance.domain("live.test", far.port)
            names = ("good.signed", "bad.signed", "bogus.signed", "good.plain", "wrong.plain", "free.plain")
            for name in names:
                appliance.cli("alias", "add", f"{name}@live.test", f"someone@{name}.test")
            appliance.cli("thresholds", "set", "--reject", "999", "--spam", "999", "--defer", "999")
            appliance.start()
            for name in names:
                with Client(appliance.smtp_port) as client:
                    client.send(f"{name}@live.test", LETTER, sender="someone@free.plain.test")
            got = far.wait_for(3)
            wait_until(lambda: len(appliance.queued()) == 3 and all(row["reason"] for row in appliance.queued()), 20, "three that wait")
            reached = sorted(recipient for message in far.received() for recipient in message["recipients"])
            assert reached == ["someone@free.plain.test", "someone@good.plain.test", "someone@good.signed.test"], got
            waiting = {row["target"]: (row["reason"], row["reply"]) for row in appliance.queued()}
            assert set(waiting) == {"someone@bad.signed.test", "someone@bogus.signed.test", "someone@wrong.plain.test"}
            assert {reason for reason, _ in waiting.values()} == {"tls"}, waiting
            assert "the one in TLSA" in waiting["someone@bad.signed.test"][1]
            assert "cannot be looked up" in waiting["someone@bogus.signed.test"][1]
            assert "does not name mx.wrong.plain.test" in waiting["someone@wrong.plain.test"][1]
            assert sorted(set(asked)) == [f"{domain}/.well-known/mta-sts.txt" for domain in files]
            dane = last_attempt(appliance, "good.signed@live.test")
            assert (dane["verified"], dane["security"]["decided"]) == (True, "used with TLSv1.3, proved by TLSA")
            by_policy = last_attempt(appliance, "good.plain@live.test")
            assert by_policy["security"]["decided"] == "used with TLSv1.3, verified"
            free = last_attempt(appliance, "free.plain@live.test")
            assert (free["security"]["required"], free["verified"]) == ("nothing", False)
            appliance.stop()
