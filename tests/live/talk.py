"""A plain SMTP client that blocks: one conversation, word by word, against a real port."""

from __future__ import annotations

import socket
import ssl


class Unexpected(AssertionError):
    """Another reply, or silence, or the end of the connection, where a reply of a certain kind was expected."""


def careless() -> ssl.SSLContext:
    """TLS without asking who the other side is, as senders do with an MX."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """Connected, greeted and past EHLO, unless `greet` is false. `implicit` TLS from the first octet; `tls` by STARTTLS."""

    def __init__(self, port: int, tls: bool = False, implicit: bool = False, greet: bool = True, timeout: float = 60) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""
        if implicit:
            self.socket = careless().wrap_socket(self.socket)
        if greet:
            self.expect("220")
            self.extensions = self.ask("EHLO client.example.test", "250")
        if tls:
            self.ask("STARTTLS", "220")
            self.socket = careless().wrap_socket(self.socket)
            self.extensions = self.ask("EHLO client.example.test", "250")

    def expect(self, code: str) -> str:
        """The next whole reply. Raises Unexpected when it does not begin with `code`."""
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            while b"\n" not in self.buffer:
                octets = self._receive(code)
                if not octets:
                    raise Unexpected(f"closed where {code} was expected, after {self.buffer!r}")
                self.buffer += octets
            line, _, self.buffer = self.buffer.partition(b"\n")
            lines.append(line.rstrip(b"\r"))
        text = b"\n".join(lines).decode("utf-8", "replace")
        if not text.startswith(code):
            raise Unexpected(f"{code} expected: {text}")
        return text

    def _receive(self, code: str) -> bytes:
        try:
            return self.socket.recv(65536)
        except TimeoutError:
            raise Unexpected(f"silence where {code} was expected") from None
        except ConnectionResetError:
            return b""

    def write(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def ask(self, command: str, code: str) -> str:
        """Say a line, hear its reply."""
        self.write(command.encode() + b"\r\n")
        return self.expect(code)

    def envelope(self, recipient: str, sender: str = "someone@sender.test", more: str = "") -> None:
        """MAIL, RCPT, DATA."""
        self.ask(f"MAIL FROM:<{sender}>{more}", "250")
        self.ask(f"RCPT TO:<{recipient}>", "250")
        self.ask("DATA", "354")

    def send(self, recipient: str, content: bytes = b"Subject: x\r\n\r\nhello\r\n", code: str = "250", sender: str = "someone@sender.test") -> str:
        """One message (its lines must not begin with a dot); the reply to its end."""
        self.envelope(recipient, sender)
        self.write(content + b".\r\n")
        return self.expect(code)

    def attempt(self, recipient: str, content: bytes = b"Subject: x\r\n\r\nhello\r\n", sender: str = "someone@sender.test") -> str:
        """One message, whatever is said to it: the first reply that is not positive, else the last; '' when it was closed without one."""
        try:
            for command, code in ((f"MAIL FROM:<{sender}>", "250"), (f"RCPT TO:<{recipient}>", "250"), ("DATA", "354")):
                reply = self.ask(command, "")
                if not reply.startswith(code):
                    return reply
            self.write(content + b".\r\n")
            return self.expect("")
        except (Unexpected, BrokenPipeError, ConnectionResetError):
            return ""

    def is_closed(self, seconds: float) -> bool:
        """True when the server closes within that time."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def quit(self) -> None:
        self.ask("QUIT", "221")
        self.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
