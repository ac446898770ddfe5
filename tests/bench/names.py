"""A name server of the bench's own, in a process of its own: answers the TXT, PTR, A and MX records it is given, NXDOMAIN for the rest.

    python -m tests.bench.names PORT RECORDS.json        {"txt sender.test": ["v=spf1 -all"], "a mail.sender.test": ["127.0.0.1"], ...}

So that neither side of a measurement waits for the outside, and both are told the same. UDP only; every answer fits. It is lighter than a library
would be, because its work is done on the processors that are measured.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.live.harness import ROOT

TYPES = {"a": 1, "ns": 2, "ptr": 12, "mx": 15, "txt": 16}
TTL = 86_400
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHHIH")
_POINTER = 0xC00C  # the name that was asked
# The SOA of the root, without which nobody may keep a negative answer (RFC 2308 5).
_NOTHING = b"\0" + struct.pack("!HHIH", 6, 1, TTL, 22) + b"\0\0" + struct.pack("!IIIII", 1, TTL, TTL, TTL, TTL)


def encoded(name: str) -> bytes:
    """A name in wire form."""
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.rstrip(".").split(".") if label) + b"\0"


def data(kind: str, value: str) -> bytes:
    """One record's data."""
    if kind == "txt":
        octets = value.encode("utf-8")
        return b"".join(bytes((len(octets[at : at + 255]),)) + octets[at : at + 255] for at in range(0, len(octets), 255))
    if kind == "a":
        return socket.inet_aton(value)
    if kind == "mx":
        preference, _, host = value.partition(" ")
        return struct.pack("!H", int(preference)) + encoded(host)
    return encoded(value)


class Zone:
    """Answers made beforehand: everything but the id and the question."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        self._answers: dict[bytes, tuple[int, bytes]] = {}
        self._names: set[bytes] = set()
        for key, values in records.items():
            kind, _, name = key.partition(" ")
            number = TYPES[kind]
            made = [data(kind, value) for value in values]
            answer = b"".join(_RECORD.pack(_POINTER, number, 1, TTL, len(each)) + each for each in made)
            self._answers[encoded(name.lower()) + struct.pack("!HH", number, 1)] = len(values), answer
            self._names.add(encoded(name.lower()))

    def answer(self, query: bytes) -> bytes | None:
        """The reply to a query; None for what is none."""
        if len(query) < 17 or query[2] & 0x80:
            return None
        end = 12
        while end < len(query) and query[end]:
            end += query[end] + 1
        question = query[12 : end + 5]
        count, records = self._answers.get(question.lower()[:-4] + question[-4:], (0, b""))
        code = 0 if question[:-4].lower() in self._names else 3
        authority = b"" if count else _NOTHING
        return _HEADER.pack(int.from_bytes(query[:2], "big"), 0x8580 | code, 1, count, bool(authority), 0) + question + records + authority


def serve(port: int, records: dict[str, list[str]]) -> None:
    """Until the process is ended, or the one that started it has gone."""
    zone, parent = Zone(records), os.getppid()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        door.bind(("127.0.0.1", port))
        door.settimeout(5)
        print("names ready", flush=True)
        while os.getppid() == parent:
            try:
                query, address = door.recvfrom(4096)
            except TimeoutError:
                continue
            if (reply := zone.answer(query)) is not None:
                door.sendto(reply, address)


class NameServer:
    """The process."""

    def __init__(self, directory: Path, records: dict[str, list[str]]) -> None:
        path = directory / "records.json"
        path.write_text(json.dumps(records))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.names", str(self.port), str(path)], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first == b"names ready\n", f"the name server did not start: {first!r}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
