"""An SMTP server that writes down what it received, in a process of its own: the far side of a relay.

    python -m tests.live.sink --port 2526 --log FILE [--defer 0.1] [--stall PHASE] [--cert FILE --key FILE] [--chunking]

Each message becomes one JSON line in FILE, written before the 250 is said: sender, recipients, size, `tls` (version or ""), `whole` (its body has
the digest its own X-Digest header names; null without one), `peer` (the address it came from), `helo` (who said EHLO), `subject` and, with --keep,
the content itself (latin-1).
--defer RATE answers that share of RCPT with 451. --stall PHASE (banner, ehlo, mail, rcpt, data, body, quit) never answers there.
--throttle N answers the first N MAIL with 421 4.7.28 and closes; `connections` says how many were open when a message came.
--reject answers every RCPT with 550, --gone ADDRESS the one to it.
Only asyncio and the standard library, so that it can judge the product's own grammar from outside.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import hashlib
import json
import random
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

from tests.live.harness import ROOT, free_port, wait_until

PHASES = ("banner", "ehlo", "mail", "rcpt", "data", "body", "quit")


def whole(content: bytes) -> bool | None:
    """True when the body has the digest that its header promises, None when it promises none."""
    header, _, body = content.partition(b"\r\n\r\n")
    for line in header.split(b"\r\n"):
        if line.lower().startswith(b"x-digest:"):
            return hashlib.sha256(body).hexdigest().encode() == line[9:].strip()
    return None


class Sink(asyncio.Protocol):
    """One connection. `open` counts all. Commands and content are cut from one buffer; a stalled phase answers nothing and reads on."""

    open = 0

    def __init__(self, options: argparse.Namespace, log: TextIO, dice: random.Random, tls: ssl.SSLContext | None) -> None:
        self.options, self.log, self.dice, self.tls = options, log, dice, tls
        self.transport: Any = None
        self.buffer = bytearray()
        self.version = self.peer = self.helo = ""
        self.stalled = False
        self.upgrading = False
        self.waiting: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        self.sender = ""
        self.recipients: list[str] = []
        self.in_data = False
        self.bdat: int | None = None
        self.content = bytearray()
        self.scanned = 0

    def connection_made(self, transport: Any) -> None:
        first = self.transport is None
        self.transport = transport
        self.peer = str(transport.get_extra_info("peername")[0])
        if first:
            Sink.open += 1
            self.say("banner", "220 sink.example.test ESMTP")

    def connection_lost(self, failure: Exception | None) -> None:
        Sink.open -= 1

    def say(self, phase: str, text: str) -> None:
        if self.options.stall == phase:
            self.stalled = True
            return
        self.transport.write(text.encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.go_on()

    def go_on(self) -> None:
        while not self.stalled and not self.upgrading and (self.bdat is not None or self.in_data or b"\n" in self.buffer):
            if not (self.take_chunk() if self.bdat is not None else self.take_data() if self.in_data else self.take_line()):
                return

    def take_line(self) -> bool:
        line, _, rest = bytes(self.buffer).partition(b"\n")
        self.buffer = bytearray(rest)
        text = line.decode("utf-8", "replace").strip()
        verb = text.split(" ")[0].split(":")[0].upper()
        if verb in ("EHLO", "HELO"):
            self.reset()
            self.helo = text.partition(" ")[2]
            words = ["sink.example.test", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 200000000", "ENHANCEDSTATUSCODES"]
            words += ["CHUNKING"] if self.options.chunking else []
            words += ["STARTTLS"] if self.tls and not self.version else []
            self.say("ehlo", "\r\n".join(f"250{'-' if index < len(words) - 1 else ' '}{word}" for index, word in enumerate(words)))
        elif verb == "MAIL" and self.options.throttle:
            self.options.throttle -= 1
            self.say("mail", "421 4.7.28 you send too much")
            self.transport.close()
            return False
        elif verb == "MAIL":
            self.sender = text[text.find("<") + 1 : text.find(">")]
            self.say("mail", "250 2.1.0 ok")
        elif verb == "RCPT":
            if self.options.reject or f"<{self.options.gone}>" in text:
                self.say("rcpt", "550 5.1.1 nobody of that name")
            elif self.dice.random() < self.options.defer:
                self.say("rcpt", "451 4.3.0 not now")
            else:
                self.recipients.append(text[text.find("<") + 1 : text.find(">")])
                self.say("rcpt", "250 2.1.5 ok")
        elif verb == "DATA":
            self.in_data = bool(self.recipients)
            self.say("data", "354 go ahead" if self.recipients else "554 5.5.1 no valid recipients")
        elif verb == "BDAT":
            words = text.split()
            self.bdat, self.last = int(words[1]), words[-1].upper() == "LAST"
        elif verb == "STARTTLS" and self.tls:
            self.say("starttls", "220 2.0.0 go ahead")
            self.upgrading = True
            task = asyncio.get_running_loop().create_task(self.secure())
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)
            return False
        elif verb == "QUIT":
            self.say("quit", "221 2.0.0 bye")
            if not self.stalled:
                self.transport.close()
            return False
        elif verb == "RSET":
            self.reset()
            self.say("rset", "250 2.0.0 ok")
        else:
            self.say("other", "250 2.0.0 ok" if verb == "NOOP" else "502 5.5.2 no")
        return True

    async def secure(self) -> None:
        assert self.tls is not None
        try:
            transport = await asyncio.get_running_loop().start_tls(self.transport, self, self.tls, server_side=True)
        except (OSError, ssl.SSLError):
            return
        self.transport = transport
        self.version = transport.get_extra_info("ssl_object").version() or ""  # type: ignore[union-attr]
        self.reset()
        self.upgrading = False
        self.go_on()  # the first words may have come with the end of the handshake, before start_tls told us its transport

    def take_chunk(self) -> bool:
        assert self.bdat is not None
        if len(self.buffer) < self.bdat:
            return False
        self.content += self.buffer[: self.bdat]
        del self.buffer[: self.bdat]
        self.bdat = None
        if self.last:
            self.received(bytes(self.content))
        else:
            self.say("bdat", "250 2.0.0 ok")
        return True

    def take_data(self) -> bool:
        end = 0 if self.buffer.startswith(b".\r\n") else self.buffer.find(b"\r\n.\r\n", self.scanned) + 2
        if end == 1:
            self.scanned = max(0, len(self.buffer) - 4)
            return False
        content = bytes(self.buffer[:end])
        del self.buffer[: end + 3]
        self.received((b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:])
        return True

    def received(self, content: bytes) -> None:
        seen: dict[str, Any] = {"sender": self.sender, "recipients": self.recipients, "size": len(content), "tls": self.version}
        seen["whole"], seen["connections"] = whole(content), Sink.open
        seen["peer"], seen["helo"] = self.peer, self.helo
        header = email.message_from_bytes(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        seen["subject"] = str(header.get("Subject", ""))
        seen["message_id"] = str(header.get("Message-ID", "")).strip()
        if self.options.keep:
            seen["content"] = content.decode("latin-1")
        if self.options.stall != "body":
            self.log.write(json.dumps(seen) + "\n")
            self.log.flush()
        self.say("body", "250 2.0.0 written down")
        self.reset()


async def serve(options: argparse.Namespace) -> None:
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
    dice = random.Random(options.seed)
    with open(options.log, "a", encoding="utf-8") as log:
        server = await asyncio.get_running_loop().create_server(lambda: Sink(options, log, dice, tls), "127.0.0.1", options.port, backlog=1000)
        print("sink ready", flush=True)
        await server.serve_forever()


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--defer", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stall", choices=PHASES, default="")
    parser.add_argument("--throttle", type=int, default=0)
    parser.add_argument("--reject", action="store_true")
    parser.add_argument("--gone", default="")
    parser.add_argument("--chunking", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--cert", default="")
    parser.add_argument("--key", default="")
    return parser.parse_args(words)


class SinkProcess:
    """A sink that runs beside the test. `received()` is what it has written down so far."""

    def __init__(self, log: Path, *options: str, port: int = 0) -> None:
        self.log = log
        self.port = port or free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> SinkProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.sink", "--port", str(self.port), "--log", str(self.log), *self.options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first == b"sink ready\n", f"the sink did not start on port {self.port}: {first!r}"
        return self

    def received(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        complete = self.log.read_text("utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    def wait_for(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """What was received, once it is at least `count` messages."""
        wait_until(lambda: len(self.received()) >= count, seconds, f"{count} messages in the sink")
        return self.received()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def __enter__(self) -> SinkProcess:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.stop()


if __name__ == "__main__":
    try:
        asyncio.run(serve(arguments()))
    except KeyboardInterrupt:
        pass
