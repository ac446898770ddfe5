"""A browser without sockets: raw requests through the real factory, answers taken apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


@dataclass(frozen=True)
class Seen:
    """One answer. Header names in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """One connection to a site."""

    def __init__(self, site: Any, peer: str = "127.0.0.1") -> None:
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", peer, 40_000))
        self.protocol = site.buildProtocol(self.transport.getPeer())
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)

    def send(self, octets: bytes) -> None:
        """What the client says."""
        self.protocol.dataReceived(octets)

    def close(self) -> None:
        """The client leaves."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def seen(self) -> Seen:
        """The answer so far, which must be a whole one."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert headers.get("transfer-encoding") is None, "an answer has a length"
        return Seen(int(first.split(" ")[1]), headers, body)


def fetch(site: Any, path: str, *, method: str = "GET", host: str | None = "localhost:8080", peer: str = "127.0.0.1", **headers: str) -> Seen:
    """Ask for one path and hang up. Further headers by name with '_' for '-'."""
    wire = Wire(site, peer)
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    wire.send("\r\n".join([*lines, "", ""]).encode())
    seen = wire.seen()
    wire.close()
    return seen
