"""What one listener's SMTP sessions allow, offer and bear: one frozen instance for all of them, so the greeting and EHLO are made once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jetmail.mail.reply import Reply
from jetmail.smtp import sasl
from jetmail.smtp.grammar import Offers


@dataclass(frozen=True)
class SessionOptions:
    """Sizes are octets, the rest counts. A count that is reached ends the connection with 421 unless it says otherwise."""

    hostname: str  # our name: greeting, EHLO, the domain of a bare <postmaster>
    kind: str = "mx"  # 'mx', 'submission' (STARTTLS, then AUTH, then MAIL) or 'submissions' (TLS from the first octet)
    tls_available: bool = True  # STARTTLS is offered
    max_size: int = 52_428_800  # of one message, announced by SIZE
    max_overrun: int = 8_388_608  # read and thrown away past max_size so that the sender can hear 552; beyond, the connection is closed
    max_text_line: int = 65_536  # of one line of content, CRLF included. RFC 5321 4.5.3.1.6 asks for 1,000; real mail has longer ones
    max_command_line: int = 2_048  # CRLF included. RFC 5321 4.5.3.1.4 asks for 512, plus what the extensions add
    max_auth_line: int = 12_288  # RFC 4954 4
    max_recipients: int = 1_000  # of one message; further ones are answered 452, said by LIMITS RCPTMAX. RFC 5321 4.5.3.1.8: at least 100
    max_messages: int = 1_000  # of one connection, said by LIMITS MAILMAX
    max_errors: int = 20  # wrong commands
    max_junk: int = 100  # commands that bring no mail nearer, since the last message
    max_refused: int = 200  # senders and recipients refused for good
    max_auth_failures: int = 3

    def __post_init__(self) -> None:
        if self.kind not in ("mx", "submission", "submissions"):
            raise ValueError("kind: mx, submission or submissions")
        if self.max_recipients < 100:
            raise ValueError("max_recipients: at least 100 (RFC 5321 4.5.3.1.8)")
        if self.max_text_line < 1000 or self.max_command_line < 512:
            raise ValueError("max_text_line: at least 1000, max_command_line: at least 512 (RFC 5321 4.5.3.1)")

    @property
    def is_submission(self) -> bool:
        """Mail comes from users who sign in, not from other systems."""
        return self.kind != "mx"

    @cached_property
    def offers_in_clear(self) -> Offers:
        """The parameters of MAIL before TLS."""
        return Offers(self.max_size)

    @cached_property
    def offers_in_tls(self) -> Offers:
        """The parameters of MAIL under TLS."""
        return Offers(self.max_size, auth=self.is_submission, requiretls=True)

    @cached_property
    def greeting(self) -> bytes:
        """The banner."""
        return f"220 {self.hostname} ESMTP jetmail\r\n".encode()

    @cached_property
    def helo(self) -> bytes:
        """The answer to HELO."""
        return f"250 {self.hostname}\r\n".encode()

    @cached_property
    def help_in_clear(self) -> Reply:
        """The answer to HELP before TLS."""
        return _help(["STARTTLS"] if self.tls_available else [])

    @cached_property
    def help_in_tls(self) -> Reply:
        """The answer to HELP under TLS."""
        return _help(["AUTH"] if self.is_submission else [])

    @cached_property
    def ehlo_in_clear(self) -> bytes:
        """The answer to EHLO before TLS."""
        return self._ehlo(["STARTTLS"] if self.tls_available else [])

    @cached_property
    def ehlo_in_tls(self) -> bytes:
        """The answer to EHLO under TLS."""
        return self._ehlo(["REQUIRETLS", *(["AUTH " + " ".join(sasl.MECHANISMS)] if self.is_submission else [])])

    def _ehlo(self, more: list[str]) -> bytes:
        lines = [
            self.hostname,
            "PIPELINING",
            f"SIZE {self.max_size}",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            f"LIMITS RCPTMAX={self.max_recipients} MAILMAX={self.max_messages}",
            *more,
        ]
        return "".join(f"250{'-' if index < len(lines) - 1 else ' '}{line}\r\n" for index, line in enumerate(lines)).encode()


def _help(more: list[str]) -> Reply:
    return Reply(214, "2.0.0", " ".join(["HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT", *more]) + "\nSee RFC 5321")
