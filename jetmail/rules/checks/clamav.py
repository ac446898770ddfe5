"""ClamAV: every message through a clamd, over its UNIX socket or TCP. What it names is malware and never goes on (spec 10.3: reason virus).

A POLICY rule, so that no allow rule lets a virus through. Off until `enabled`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.clamd import scan
from jetmail.rules.facts import Facts, parse_ip
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.streams import pieces
from jetmail.rules.symbols import symbols
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict

_VIRUS = Ruling(Action.REJECT, "virus")
_FAULT = Verdict(ruling=Ruling(Action.DEFER, "fault"))

_log = Logger()


@dataclass(frozen=True, slots=True)
class ClamavOptions:
    """`enabled`: scan at all. `socket`: the path of clamd's UNIX socket, or ADDRESS:PORT. `max_size`: octets of the largest message that is scanned
    (not above clamd's StreamMaxLength); a larger one only gets a finding. `seconds`: for connection and scan together. `if_down`: what becomes of
    mail that cannot be scanned: `defer` (the sender comes again) or `skip` (it goes on with a finding). `scans`: at a time (clamd's MaxThreads)."""

    enabled: bool = False
    socket: str = "/run/clamav/clamd.ctl"
    max_size: int = 25 * 1024 * 1024
    seconds: float = 30.0
    if_down: Literal["defer", "skip"] = "defer"
    scans: int = 10

    def __post_init__(self) -> None:
        _endpoint(self.socket)
        if not 0 < self.seconds <= 250:
            raise ValueError("seconds: must be over 0 and at most 250")
        if not 1 <= self.scans <= 1000:
            raise ValueError("scans: must be from 1 to 1000")
        if self.max_size < 1024:
            raise ValueError("max_size: must be at least 1024 octets")


@implementer(IRule)
class Clamav(Rule):
    """Refuses what clamd names (reason virus)."""

    stage = Stage.CONTENT
    kind = Kind.POLICY
    scope = Scope.MESSAGE
    on_error = OnError.DEFER
    timeout = 260.0  # beyond what `seconds` may be, which decides
    Options = ClamavOptions
    SYMBOLS = symbols(
        "Scanners",
        ("VIRUS", 0.0, "A virus scanner found malware in it."),
        ("VIRUS_NOT_SCANNED", 0.0, "It was not scanned for viruses: it is too large, or the scanner was out of order."),
    )

    def __init__(self, name: str, options: ClamavOptions) -> None:
        super().__init__(name, options)
        self._address, self._port = _endpoint(options.socket)
        self._turns = DeferredSemaphore(options.scans)

    def bind(self, services: RuleServices) -> None:
        """Needs a way out."""
        self._services = services

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class."""
        if not self.options.enabled or facts.message is None:
            return NO_OPINION
        if facts.message.size > self.options.max_size:
            return self._not_scanned(f"{facts.message.size} octets")
        return self._scan(facts.message)

    async def _scan(self, message: Message) -> Verdict:
        try:
            name = await self._turns.run(self._ask, message).addTimeout(self.options.seconds, self._services.clock)
        except CancelledError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            _log.error("virus scanner {socket} failed, {then}: {reason}", socket=self.options.socket, then=self.options.if_down, reason=reason)
            return _FAULT if self.options.if_down == "defer" else self._not_scanned(reason)
        if not name:
            return NO_OPINION
        return Verdict((self._services.scores.finding("VIRUS", name),), _VIRUS)

    def _ask(self, message: Message) -> Deferred[str]:
        dialer = self._services.dialer
        assert dialer is not None
        return scan(dialer, self._address, self._port, pieces(message), min(10.0, self.options.seconds))

    def _not_scanned(self, why: str) -> Verdict:
        return Verdict((self._services.scores.finding("VIRUS_NOT_SCANNED", why),))


def _endpoint(text: str) -> tuple[str, int]:
    if text.startswith("/"):
        return text, 0
    host, _, port = text.rpartition(":")
    address = parse_ip(host.removeprefix("[").removesuffix("]"))
    if address is None or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"socket: {text!r} is neither a path nor ADDRESS:PORT")
    return str(address), int(port)
