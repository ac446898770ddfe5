"""What the live tests of submission stand on: name and virus servers of their own, an appliance with users and people, swaks."""

from __future__ import annotations

import re
import smtplib
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnslib import QTYPE, RCODE, RR, TXT, DNSRecord

from tests.live import needs
from tests.live.harness import Appliance, free_port
from tests.live.sink import SinkProcess
from tests.live.talk import careless

PASSWORD = "correct horse battery"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


class Names:
    """A DNS server that has the TXT records given, and NXDOMAIN for all else. SERVFAIL for a name whose record is ''."""

    def __init__(self, zone: dict[str, str]) -> None:
        self.zone = zone
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Until it is closed."""
        while True:
            try:
                data, client = self.socket.recvfrom(4096)
            except OSError:
                return
            query = DNSRecord.parse(data)
            reply = query.reply()
            self.answer(str(query.q.qname).rstrip(".").lower(), query.q.qtype, reply)
            self.socket.sendto(reply.pack(), client)

    def answer(self, name: str, kind: int, reply: DNSRecord) -> None:
        """What is said of a name."""
        if name not in self.zone:
            reply.header.rcode = RCODE.NXDOMAIN
        elif not self.zone[name]:
            reply.header.rcode = RCODE.SERVFAIL
        elif kind == QTYPE.TXT:
            reply.add_answer(RR(name, QTYPE.TXT, ttl=60, rdata=TXT(self.zone[name])))

    def close(self) -> None:
        """No more answers."""
        self.socket.close()


class Scanner:
    """A clamd that finds EICAR in what says so."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """One after another, until it is closed."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                seen = b""
                while not seen.endswith(bytes(4)):
                    piece = connection.recv(65_536)
                    if not piece:
                        break
                    seen += piece
                connection.sendall(b"stream: Eicar-Test-Signature FOUND\0" if b"EICAR" in seen else b"stream: OK\0")

    def close(self) -> None:
        """No more answers."""
        self.socket.close()


class Submitting:
    """An appliance, all of whose mail goes to a sink. `-tls` is STARTTLS, `-tlsc` TLS from the first octet, as swaks calls them."""

    def __init__(self, appliance: Appliance, ports: Mapping[str, int], secret: Path) -> None:
        self.appliance = appliance
        self.ports = {"-tls": ports["submission"], "-tlsc": ports["submissions"]}
        secret.write_text(PASSWORD + "\n")
        self.secret = str(secret)

    @staticmethod
    def settings(names: Names, far: SinkProcess) -> tuple[dict[str, Any], dict[str, int]]:
        """-> (settings to make the appliance with, its ports)"""
        ports = {"mx": free_port(), "submission": free_port(), "submissions": free_port()}
        return {
            "listener": [{"kind": kind, "address": "127.0.0.1", "port": port} for kind, port in ports.items()],
            "dns": {"servers": [f"127.0.0.1:{names.port}"]},
            "delivery": {"smarthost": f"127.0.0.1:{far.port}", "smarthost_tls": "none"},
        }, ports

    def user(self, name: str, *words: str) -> None:
        """A new SMTP user."""
        self.appliance.cli("smtp-user", "add", name, "--password-file", self.secret, *words)

    def person(self, address: str, *words: str) -> None:
        """A new person."""
        self.appliance.cli("person", "add", address, "--password-file", self.secret, *words)

    def uuid(self, name: str) -> str:
        """Of a user or a person."""
        found: str = self.appliance.rows("person" if "@" in name else "smtp-user", "show", name)[0]["uuid"]
        return found

    def set(self, *words: str) -> None:
        """Change the user 'app'."""
        self.appliance.cli("smtp-user", "set", "app", *words)

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

    def session(self, user: str = "app") -> smtplib.SMTP:
        """Signed in over STARTTLS."""
        session = smtplib.SMTP("127.0.0.1", self.ports["-tls"], timeout=30)
        session.starttls(context=careless())
        session.login(user, PASSWORD)
        return session


def refusal(talk: str) -> str:
    """The last refusal of a conversation."""
    said: list[str] = re.findall(r"^<[~*]\* +(.*)$", talk, re.MULTILINE)
    assert said, talk
    return said[-1]
