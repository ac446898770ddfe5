"""An SMTP client under load that remembers, for each message, whether it was answered 250: the near side of a relay.

    python -m tests.live.loader --port 2525 --sessions 20 --messages 2000 --size 4096          as fast as it goes, then one JSON line
    python -m tests.live.loader --port 2525 --sessions 8 --rate 200 --every-large 25           until its standard input closes (crash test)

Every recipient address is used once, so the address is the message's identity on both sides: `<prefix>-<number>[-<nth>]@domain`. The body's
digest travels in X-Digest, so a sink can tell a damaged message. With --report each message answered 250 is one line on standard output,
written as soon as the answer was read: {"id": ..., "recipients": [...], "reply": "250 ..."}. The last line is a summary.
A connection that fails loses nothing but its turn: the message was not answered, so nothing is claimed for it.
Only asyncio and the standard library.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import itertools
import json
import random
import ssl
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What the loader itself saw."""

    accepted: int = 0
    refused: int = 0
    broken: int = 0
    began: float = 0.0
    last: float = 0.0
    replies: dict[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        return json.dumps(
            {
                "accepted": self.accepted,
                "refused": self.refused,
                "broken": self.broken,
                "seconds": round(self.last - self.began, 6),
                "replies": self.replies,
            }
        )


class Refused(Exception):
    """The server said no (4xx or 5xx)."""


def content(number: str, size: int, dice: random.Random) -> bytes:
    """A message of about `size` octets whose X-Digest tells its body. Some lines begin with a dot, which must arrive as they are."""
    line = b"0123456789 the quick brown fox jumps over the lazy dog " + number.encode() + b"\r\n"
    body = line + b".begins with a dot\r\n..and with two\r\n" + dice.randbytes(24).hex().encode() + b"\r\n"
    body += line * max(0, (size - len(body) - 200) // len(line))
    header = (
        f"From: Loader <loader@sender.test>\r\nTo: someone\r\nSubject: load {number}\r\nMessage-ID: <{number}@loader.sender.test>\r\n"
        f"Date: Thu, 20 Nov 2025 07:00:00 +0000\r\nX-Digest: {hashlib.sha256(body).hexdigest()}\r\n\r\n"
    )
    return header.encode() + body


def stuffed(data: bytes) -> bytes:
    """Dot-stuffed, with the end of data."""
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


class Loader:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tally = Tally()
        self.numbers = itertools.count()
        self.dice = random.Random(options.seed)
        self.stopping = asyncio.Event()
        self.left = options.messages
        self.domains = options.domain or ["example.test"]
        self.tls = ssl.create_default_context() if options.login else None
        if self.tls is not None:
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    async def ask(self, reader: asyncio.StreamReader, *, code: str = "2") -> str:
        """One reply, whole; Refused when it does not begin with `code`."""
        while True:
            raw = await asyncio.wait_for(reader.readline(), self.options.timeout)
            if not raw.endswith(b"\n"):
                raise ConnectionResetError("closed in the middle of a reply")
            line = raw.decode("utf-8", "replace").strip()
            if line[3:4] != "-":
                break
        if not line.startswith(code):
            self.tally.replies[line[:60]] = self.tally.replies.get(line[:60], 0) + 1
            raise Refused(line)
        return line

    def next_message(self) -> tuple[str, list[str], bytes]:
        number = f"{self.options.prefix}-{next(self.numbers):06d}"
        turn = self.dice.random()
        domain = self.domains[self.dice.randrange(len(self.domains))]
        several = self.options.every_several and self.dice.randrange(self.options.every_several) == 0
        recipients = [f"{number}-{nth}@{domain}" for nth in range(3)] if several else [f"{number}@{domain}"]
        large = self.options.every_large and turn < 1 / self.options.every_large
        return number, recipients, stuffed(content(number, self.dice.randrange(140_000, 600_000) if large else self.options.size, self.dice))

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pipelined: bool) -> None:
        number, recipients, data = self.next_message()
        commands = [b"MAIL FROM:<loader@sender.test>\r\n", *(f"RCPT TO:<{address}>\r\n".encode() for address in recipients)]
        if pipelined:
            writer.write(b"".join([*commands, b"DATA\r\n"]))
            for _ in commands:
                await self.ask(reader)
        else:
            for command in commands:
                writer.write(command)
                await self.ask(reader)
            writer.write(b"DATA\r\n")
        await self.ask(reader, code="354")
        writer.write(data)
        await writer.drain()
        reply = await self.ask(reader)
        self.tally.accepted += 1
        self.tally.last = time.perf_counter()
        if self.options.report:
            print(json.dumps({"id": number, "recipients": recipients, "reply": reply}), flush=True)

    async def visit(self, messages: int) -> None:
        """One connection and its messages."""
        opening = asyncio.open_connection(self.options.host, self.options.port, ssl=self.tls)
        reader, writer = await asyncio.wait_for(opening, self.options.timeout)
        try:
            await self.ask(reader)
            writer.write(b"EHLO loader.sender.test\r\n")
            await self.ask(reader)
            if self.options.login:
                name, _, password = self.options.login.partition(":")
                writer.write(b"AUTH PLAIN " + base64.b64encode(f"\0{name}\0{password}".encode()) + b"\r\n")
                await self.ask(reader)
            for _ in range(messages):
                await self.send(reader, writer, pipelined=self.options.pipelined or self.dice.random() < 0.5)
                if self.options.rate:
                    await asyncio.sleep(self.options.sessions / self.options.rate)
                if self.done():
                    break
            writer.write(b"QUIT\r\n")
            await self.ask(reader)
        finally:
            writer.close()

    def done(self) -> bool:
        return self.stopping.is_set() or bool(self.options.messages and self.tally.accepted + self.tally.refused >= self.options.messages)

    async def session(self) -> None:
        while not self.done():
            turn = self.options.per_connection
            if self.options.messages:
                turn = min(turn, self.left)
                self.left -= turn
                if not turn:
                    return
            try:
                await self.visit(turn)
            except Refused:
                self.tally.refused += 1
            except (OSError, EOFError, TimeoutError):
                self.tally.broken += 1
                if self.options.messages:
                    return
                await asyncio.sleep(0.02)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.tally.began = self.tally.last = time.perf_counter()
        if not self.options.messages:
            loop.run_in_executor(None, self.until_closed, loop)
        await asyncio.gather(*(self.session() for _ in range(self.options.sessions)))
        print(self.tally.summary(), flush=True)

    def until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(self.stopping.set)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--messages", type=int, default=0, help="0: until standard input closes")
    parser.add_argument("--per-connection", type=int, default=1)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second over all sessions; 0: as fast as it goes")
    parser.add_argument("--every-large", type=int, default=0, help="one message of so many is 140 to 600 KB")
    parser.add_argument("--every-several", type=int, default=0, help="one message of so many has three recipients")
    parser.add_argument("--domain", action="append", help="of the recipients; several share the load by chance")
    parser.add_argument("--prefix", default="m")
    parser.add_argument("--login", default="", metavar="USER:PASSWORD", help="submit: TLS from the first octet, AUTH PLAIN")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--pipelined", action="store_true", help="always; otherwise half of the messages")
    parser.add_argument("--report", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    asyncio.run(Loader(arguments()).run())
