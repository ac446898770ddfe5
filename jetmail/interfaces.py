"""What the rooms promise one another. zope interfaces and the plain values they speak of; no code.

Interfaces live here so that no room needs to import another to name what it is given. app.py adapts every argument through them when it
wires the house (`IQueueDoor(queue)`), so a swapped argument fails at boot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any

from zope.interface import Attribute, Interface

from jetmail.mail.reply import Reply


class AnswerKind(Enum):
    """Four different ways for a look-up to end, and never one for another (design 9)."""

    FOUND = "found"
    NXDOMAIN = "nxdomain"  # the name does not exist
    NODATA = "nodata"  # the name exists without this type
    SERVFAIL = "servfail"  # a server said it cannot tell, or lied
    TIMEOUT = "timeout"  # nobody answered within the budget, or the breaker is open


@dataclass(frozen=True, slots=True)
class Answer:
    """`records`: TXT as bytes with strings joined; MX as (preference, host); A and AAAA as text; TLSA as (usage, selector, matching, bytes);
    others as text.
    Names are lower-case without the final dot ('' is the root). `ttl` seconds. `authentic`: AD bit from a resolver configured as validating."""

    kind: AnswerKind
    records: tuple = ()
    ttl: int = 0
    authentic: bool = False

    @property
    def is_temporary(self) -> bool:
        """SERVFAIL or TIMEOUT: ask again later, conclude nothing."""
        return self.kind in (AnswerKind.SERVFAIL, AnswerKind.TIMEOUT)


class Existence(Enum):
    """What asking elsewhere about a recipient has come to."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"  # nobody could tell now: ask again later, conclude nothing
    FAULT = "fault"  # what we should have asked is out of order: a fault of ours


class IResolver(Interface):
    """DNS. Never fails its Deferred except by cancellation: every fault is one of the kinds."""

    def query(name: str, rdtype: str) -> Any:
        """-> Deferred[Answer]. `rdtype` 'A', 'AAAA', 'MX', 'TXT', 'PTR', 'TLSA', 'CNAME', 'NS'. Cached within TTL; CNAMEs followed."""


class IExecutor(Interface):
    """Threads, or their absence in tests."""

    def run(fn: Callable[..., Any], *args: Any) -> Any:
        """Run `fn(*args)` off the reactor -> Deferred of its result. The function takes and returns plain values only."""


class IEntropy(Interface):
    """Randomness."""

    def token(octets: int) -> bytes:
        """That many unpredictable octets."""

    def uniform() -> float:
        """A number in [0, 1), for jitter and shuffling."""


class IDatabase(Interface):
    """The store's door. Functions given to it are plain functions whose first argument is a connection; they cannot wait."""

    def run(fn: Callable[..., Any], *args: Any) -> Any:
        """Write: `fn(connection, *args)` in the next group commit -> Deferred of its result, fired on the reactor after the sync to disk.
        A function that raises is rolled back alone and its Deferred fails."""

    def read(fn: Callable[..., Any], *args: Any) -> Any:
        """A point read, at once, on the reactor's own read-only connection: indexed look-ups only."""

    def search(fn: Callable[..., Any], *args: Any) -> Any:
        """A read that may take long, on the reader thread -> Deferred of its result."""


class IContentStore(Interface):
    """Large content as files. Small content never comes here."""

    def create() -> Any:
        """-> a spool writer: write(bytes), finish() -> Deferred[name] (file and directory synced), abort()."""

    def open(name: str) -> Any:
        """-> a binary file object for reading. Raises ContentMissingError."""

    def delete(name: str) -> None:
        """Forget a file; silent when it is gone."""


class IDialer(Interface):
    """Outgoing TCP."""

    def connect(address: str, port: int, factory: Any, timeout: float, source: str = "") -> Any:
        """Dial an IP address (never a name), or the absolute path of a UNIX socket (the port then means nothing) -> Deferred of the protocol
        `factory` built, or failing with ConnectError."""


class IQueueDoor(Interface):
    """What the receiving side knows of the queue (given to it by app; inbound never imports outbound)."""

    def reserve(count: int, destinations: Collection[str] = ()) -> bool:
        """True: the window has room and none of the destinations is down, so the accepting transaction may claim the first attempt. After either
        answer `enqueued` follows the commit; after True `cancel`, where the commit failed."""

    def enqueued(message: Any, content: Any) -> None:
        """After commit: `message` is the stored traffic.messages.Accepted, `content` its Content at hand. Of one whose first attempt was not claimed
        the queue only learns that there is something to look for."""

    def trouble(destination: str) -> tuple[str, str]:
        """(reason word, reply) of a destination that is down, ('', '') of any other: what a message that is not attempted now waits for."""

    def cancel(count: int) -> None:
        """The commit failed: give the reserved places back."""

    def wake() -> None:
        """Rows may have become due: look at the store soon."""


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a message handed in. `reply` as SMTP would say it, `refused` the recipients that were turned down one by one. `retry_after`:
    seconds until another try may fare better, 0 where nobody can tell."""

    reply: Reply
    refused: tuple[tuple[str, Reply], ...] = ()
    retry_after: float = 0.0


class IHandIn(Interface):
    """Mail that comes by other means than SMTP and takes the same road (given to api/ by app)."""

    def open(user: str, address: str, port: int, tls: str = "") -> Any:
        """-> an IHand for one message of the SMTP user of that uuid, coming from that address; `tls` '' or the version."""


class IHand(Interface):
    """One message on its way in. `begin`, `write` any number of times, `end`; or `abort` at any time. Nothing fails on purpose: faults of ours are
    replies of 451."""

    def begin(sender: Any, recipients: Any) -> Any:
        """mail.envelope's Sender and Recipients -> Deferred[Handed]; positive: content may come."""

    def write(octets: bytes) -> None:
        """The next octets of the content, with any line ends."""

    def end(also: Any = None) -> Any:
        """The content is complete -> Deferred[Handed]; positive once it is durable. `also(conn, uid, reply)` is written by the same transaction."""

    def abort() -> None:
        """No more will come. After `end` it does nothing."""


class IReceiver(Interface):
    """What answers the questions of one SMTP session. Each method returns a mail.reply.Reply or a Deferred of one; never fails its Deferred
    on purpose (a failure becomes 451 with a reference)."""

    def connected() -> Any:
        """The first question, before the banner. Positive: go on. Otherwise the reply is said and the connection closed."""

    def helo(name: str, extended: bool) -> Any:
        """HELO/EHLO."""

    def mail(sender: Any) -> Any:
        """MAIL FROM with a mail.envelope.Sender."""

    def rcpt(recipient: Any) -> Any:
        """RCPT TO with a mail.envelope.Recipient."""

    def data() -> Any:
        """DATA or the first BDAT is about to start. Positive: the reply 354 is the shell's to say."""

    def chunk(octets: bytes) -> Any:
        """Content as it arrives, dots removed, CRLF only. No reply: returns None or a Deferred that pauses the transport until it fires."""

    def end() -> Any:
        """The content is complete: decide. The reply is the answer to DATA or to BDAT LAST."""

    def abort(refusal: Reply | None = None) -> None:
        """The transaction is over without content (RSET, EHLO, a new TLS layer, a broken DATA, the connection lost). No reply. `refusal`: what the
        sender is told, when what came was no content that can be taken."""

    def auth(mechanism: str, username: str, password: str) -> Any:
        """AUTH, credentials decoded. 235 or 535 or 454."""

    def idle() -> Any:
        """Who has signed in said NOOP, RSET or the like. None: go on. A Reply: say it and end."""

    def tls_started(version: str, cipher: str) -> None:
        """STARTTLS is done; forget what came before."""

    def lost() -> None:
        """The connection is gone. Nothing more will come."""


class IRule(Interface):
    """One rule of the chain (design 5). Ours and a third party's come by the same door: a class named in etc/rules.toml, built with its options."""

    name = Attribute("unique word, as in etc/rules.toml")
    stage = Attribute("rules.verdict.Stage: when it is asked")
    kind = Attribute("rules.verdict.Kind: POLICY is never bypassed, LIST is the people's own, FILTER is opinion")
    scope = Attribute("rules.verdict.Scope: MESSAGE (asked once) or RECIPIENT (once for each)")
    after = Attribute("names of rules of the same stage whose verdicts it wants to see first")
    needs = Attribute("names of rules without which it must not be configured")
    timeout = Attribute("seconds it may take before on_error applies")
    on_error = Attribute("rules.verdict.OnError.DEFER or SKIP; there is no default")

    def judge(facts: Any, policy: Any) -> Any:
        """-> a Verdict, or an awaitable of one. Mutates nothing."""


class IJob(Interface):
    """Periodic work. The scheduler persists its last run, catches what it raises and runs it again."""

    name = Attribute("unique word")
    interval = Attribute("seconds between runs")

    def run() -> Any:
        """-> None or a Deferred. May raise: it is logged, counted and tried again next time."""


class ILogin(Interface):
    """Who may submit mail."""

    def authenticate(username: str, password: str, address: str) -> Any:
        """-> inbound.principal.Login or a Deferred of one: 235 with a principal when right, '535 Authentication failed' or '535 IP not authorized'
        otherwise, 454 when we cannot tell now."""

