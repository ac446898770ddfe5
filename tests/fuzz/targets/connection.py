"""A connection as a client has it, with all of the receiving side behind it: protocol, session, receiver, rules, store."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from twisted.logger import globalLogPublisher

from jetmail.inbound.peer import Peer
from jetmail.inbound.transaction import Receiver
from tests.fuzz.target import target
from tests.fuzz.targets.auth import RECORDS, AnyResolver
from tests.fuzz.targets.judging import PLACE, Faults
from tests.fuzz.targets.wire import cut
from tests.inbound import receiving, wire
from tests.inbound.test_proxy import V1, V2
from tests.smtp.test_server import turns

REPLY = re.compile(rb"(?:[2-5][0-9][0-9][ -][\x20-\x7e\x80-\xff]*\r\n)*")
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (("mx", {}), ("submission", {}), ("mx", {"proxy_from": ("192.0.2.0/24",)}))


class Door(wire.House):
    """A listener whose receivers are real."""

    def __init__(self, behind: receiving.House, kind: str, **listener: Any) -> None:
        super().__init__(kind, session={"max_size": 200_000}, **listener)
        self.clock = behind.clock
        self._behind = behind

    def _make_receiver(self, peer: Peer) -> Any:
        return Receiver(self._behind.services, peer)


def _connections() -> list[bytes]:
    envelope = b"EHLO c.test\r\nMAIL FROM:<alice@example.org> SIZE=200\r\nRCPT TO:<bob@demo.test>\r\n"
    mail = envelope + b"DATA\r\n" + receiving.MESSAGE + b".\r\nQUIT\r\n"
    two = (
        envelope
        + b"RCPT TO:<ann@tag.test>\r\nRCPT TO:<x@grey.test>\r\nRCPT TO:<nobody@tag.test>\r\nRCPT TO:<x@elsewhere.test>\r\nBDAT 10\r\nA: b\r\n\r\nxy"
        b"BDAT 2 LAST\r\n\r\nRSET\r\n"
    )
    spam = envelope + b"DATA\r\nSubject: x\r\n\r\n" + receiving.GTUBE + b".\r\n" + mail
    null = b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<bob@demo.test>\r\nRCPT TO:<ann@tag.test>\r\nDATA\r\n ; x\r\nFrom: a@b\r\n\r\n.\r\n"
    return [b"\0" + each for each in (mail, two, spam, null)] + [
        b"\1" + b"EHLO c\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b>\r\n",
        b"\2" + V1 + mail,
        b"\2" + V2 + mail,
    ]


@target(
    "connection", _connections, b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<bob@demo.test>\r\n", b"RCPT TO:<ann@tag.test>\r\n", b"DATA\r\n",
    b".\r\n", b"BDAT 4 LAST\r\n",
    b"EHLO c\r\n", b"RSET\r\n", b"NOTIFY=SUCCESS", b"From: ", b"\r\n\r\n", b"\r\n.\r\n", V1, V2, b"RCPT TO:<a@[127.0.0.1]>\r\n", b" SMTPUTF8",
    "ä@ö.test".encode(),
)  # fmt: skip
def connection(octets: bytes) -> None:
    """Any octets on any kind of port: replies that are replies, nothing raised, nothing left behind once the connection is gone."""
    behind = PLACE.get()
    behind.resolver.query = AnyResolver(list(RECORDS)).query  # type: ignore[method-assign]
    kind, listener = KINDS[octets[0] % 3] if octets else KINDS[0]
    door = Door(behind, kind, **listener)
    faults = Faults()
    globalLogPublisher.addObserver(faults)
    try:
        line = door.connect()
        door.pass_time(10.0)
        said = line.read()
        random = Random(len(octets))
        waits = random.random() < 0.9  # most wait where they must, or nothing would be heard of them
        for piece in (piece for turn in (turns(octets[1:]) if waits else [octets[1:]]) for piece in cut(turn, random)):
            if line.closed:
                break
            line.deliver(piece)
            said += line.read()
        door.pass_time(60.0)
        said += line.read()
        line.lose()
        door.pass_time(60.0)
    finally:
        globalLogPublisher.removeObserver(faults)
    assert not faults.seen, faults.seen[0]
    assert REPLY.fullmatch(said), f"no replies: {said[-300:]!r}"
    assert len(door.connections) == 0, "a connection is still counted"
