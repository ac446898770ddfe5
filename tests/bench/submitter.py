"""A submission client under load: each message is a connection of its own with STARTTLS (or TLS at once), AUTH PLAIN, one envelope and QUIT.

    python -m tests.bench.submitter --port 587 --user app --password-file FILE --sessions 10 --messages 1000

Threads with blocking sockets, no command sent before the last was answered, no TLS session used again: what a plain app does. It says `ready`, begins
when a line comes on standard input and ends with one JSON line: how many were accepted, when it began and ended (on the machine's monotonic clock),
the processor seconds it took itself, and every other reply it heard. Several processes side by side are one load. Only the standard library.
"""

from __future__ import annotations

import argparse
import base64
import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


class Refused(Exception):
    """Another reply than the one that goes on; the text is the reply."""


@dataclass
class Letter:
    """Who signs in, and what is sent."""

    user: str
    password: str
    sender: str
    recipient: str
    size: int

    def content(self) -> bytes:
        """Of about `size` octets, ended."""
        header = f"From: <{self.sender}>\r\nTo: <{self.recipient}>\r\nSubject: bench\r\nDate: Thu, 20 Nov 2025 07:00:00 +0000\r\n"
        header += "Message-ID: <bench@bench.example.test>\r\n\r\n"
        line = b"0123456789 the quick brown fox jumps over the lazy dog\r\n"
        return header.encode() + line * max(1, (self.size - len(header)) // len(line)) + b".\r\n"


class Visit:
    """One connection. `source`: the address to come from, '' for any."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, implicit: bool = False, source: str = "", timeout: float = 60.0) -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.context = context
        try:
            if implicit:
                self.socket = context.wrap_socket(self.socket)
            self.expect("220")
            self.ask(b"EHLO bench.example.test\r\n", "250")
            if not implicit:
                self.ask(b"STARTTLS\r\n", "220")
                self.socket = context.wrap_socket(self.socket)
                self.ask(b"EHLO bench.example.test\r\n", "250")
        except BaseException:
            self.socket.close()
            raise

    def expect(self, code: str) -> str:
        """One whole reply. Raises Refused."""
        data = b""
        while True:
            data += self.socket.recv(4096)
            if not data:
                raise ConnectionResetError("closed")
            if data.endswith(b"\r\n") and data[data.rfind(b"\r\n", 0, -2) + 2 :][3:4] != b"-":
                break
        text = data.decode("latin-1")
        last = text.rstrip("\r\n").rpartition("\n")[2]
        if not last.startswith(code):
            raise Refused(last)
        return last

    def ask(self, command: bytes, code: str) -> str:
        """A line and its reply."""
        self.socket.sendall(command)
        return self.expect(code)

    def sign_in(self, user: str, password: str) -> None:
        """AUTH PLAIN. Raises Refused."""
        self.ask(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()) + b"\r\n", "235")

    def send(self, letter: Letter, content: bytes) -> None:
        """One message. Raises Refused."""
        self.ask(f"MAIL FROM:<{letter.sender}>\r\n".encode(), "250")
        self.ask(f"RCPT TO:<{letter.recipient}>\r\n".encode(), "250")
        self.ask(b"DATA\r\n", "354")
        self.ask(content, "250")

    def quit(self) -> None:
        """An orderly end."""
        self.ask(b"QUIT\r\n", "221")
        self.close()

    def close(self) -> None:
        """At once."""
        self.socket.close()


def context() -> ssl.SSLContext:
    """TLS that asks nobody who they are and remembers nothing."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


@dataclass
class Tally:
    """What happened."""

    accepted: int = 0
    replies: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def work(options: argparse.Namespace, letter: Letter, tally: Tally, left: list[int]) -> None:
    """One session: message after message until there are none left."""
    tls, content = context(), letter.content()
    while True:
        with tally.lock:
            if not left[0]:
                return
            left[0] -= 1
        try:
            visit = Visit(options.host, options.port, tls, options.implicit)
            try:
                visit.sign_in(letter.user, letter.password)
                visit.send(letter, content)
                with tally.lock:
                    tally.accepted += 1
                visit.quit()
            finally:
                visit.close()
        except (Refused, OSError) as fault:
            with tally.lock:
                tally.replies[str(fault)[:100] or type(fault).__name__] += 1


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--implicit", action="store_true", help="TLS from the first octet")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--sender", default="a@example.test")
    parser.add_argument("--recipient", default="b@example.test")
    return parser.parse_args(words)


def main() -> None:
    options = arguments()
    letter = Letter(options.user, options.password_file.read_text().strip(), options.sender, options.recipient, options.size)
    tally, left = Tally(), [options.messages]
    threads = [threading.Thread(target=work, args=(options, letter, tally, left)) for _ in range(options.sessions)]
    print("ready", flush=True)
    sys.stdin.readline()
    used, began = time.process_time(), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = time.monotonic()
    print(json.dumps({"accepted": tally.accepted, "began": began, "ended": ended, "cpu": time.process_time() - used, "replies": tally.replies}))


if __name__ == "__main__":
    main()
