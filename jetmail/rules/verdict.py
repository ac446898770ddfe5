"""What a rule may answer, and what becomes of the answers: the vocabulary of judgement (design 5).

A rule answers with a Verdict: findings (facts with a weight), a ruling (an action with a reason), trust, headers to add, or NO_OPINION. The
chain writes down who said it as an Opinion. `settle` (rules.settlement) turns opinions into one Ruling per recipient and one Reply.

A Ruling's reason is a word from one closed list, REASONS: it is what the store keeps, what people search for, and what decides the public
reply. The text said to a stranger comes from that list and names no mechanism; private detail belongs in a Finding. A Verdict is checked
when it is made: ValueError for a reason that is not on the list, a reply whose class contradicts the action, a score that is no number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum, IntEnum

from jetmail.mail.reply import Reply
from jetmail.mail.status import Status


class Stage(IntEnum):
    """When a rule is asked: at the connection, after MAIL, after each RCPT, when the content is complete, and once all its findings are known."""

    CONNECT = 0
    SENDER = 1
    RECIPIENT = 2
    CONTENT = 3
    JUDGEMENT = 4


class Kind(Enum):
    """POLICY is never bypassed, LIST is what people decided themselves, FILTER is opinion. In the order of their precedence."""

    POLICY = "policy"
    LIST = "list"
    FILTER = "filter"


class Scope(Enum):
    """Asked once for the message, or once for each recipient with that recipient's policy."""

    MESSAGE = "message"
    RECIPIENT = "recipient"


class Level(IntEnum):
    """Whose word a LIST rule carries, highest first (spec 10.4): the first level with an opinion decides, and allow beats block within it."""

    APPLIANCE = 0
    ACCOUNT = 1
    ADDRESS = 2
    DOMAIN = 3


class OnError(Enum):
    """What a rule that raised or took too long has said: DEFER (the sender tries again) or SKIP (nothing). A POLICY rule may only DEFER."""

    DEFER = "defer"
    SKIP = "skip"


class Action(IntEnum):
    """What to do with the message, from mild to harsh; of two, the harsher stands."""

    PASS = 0
    MARK = 1
    QUARANTINE = 2
    DEFER = 3
    REJECT = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """One word of the closed list. `status` is what the log shows for a recipient ruled so; None where the message goes on or comes back."""

    word: str
    reply: Reply
    meaning: str
    status: Status | None = None


_LIST = (
    Reason("clean", Reply(250, "2.0.0", "OK"), "nothing was found against it, or a person allowed it"),
    Reason("client", Reply(554, "5.7.1", "Connections from your address are not accepted"), "the connecting address is refused", Status.BLOCKED),
    Reason("policy", Reply(550, "5.7.1", "Refused by local policy"), "refused by a rule the sysadmin added", Status.REJECTED),
    Reason("size", Reply(552, "5.3.4", "Message is larger than accepted here"), "larger than the appliance takes", Status.REJECTED),
    Reason("header", Reply(554, "5.6.0", "Message header is too large or has too many fields"), "a header no mailer would write", Status.REJECTED),
    Reason(
        "line-ends", Reply(550, "5.6.0", "Bare CR or LF in the message, see RFC 5321 2.3.8"), "a line that ends in no CR LF: a way to smuggle mail",
        Status.REJECTED,
    ),  # fmt: skip
    Reason(
        "synchronization", Reply(554, "5.5.0", "Protocol synchronization: input behind a command whose answer must be awaited, see RFC 2920 3.1"),
        "content that came before DATA was answered: a way to smuggle mail", Status.REJECTED,
    ),  # fmt: skip
    Reason("line-length", Reply(554, "5.6.0", "Line too long in the message"), "a line of it is longer than anybody could take", Status.REJECTED),
    Reason("loop", Reply(554, "5.4.6", "Mail loop: too many hops"), "it went round in circles", Status.REJECTED),
    Reason(
        "bounce-recipients",
        Reply(452, "4.5.3", "One recipient at a time for the null sender"),
        "a bounce is for one recipient: the others are to come in transactions of their own",
    ),
    Reason(
        "return-path", Reply(550, "5.7.1", "This is no return address of a message sent from here"), "a bounce to an address nobody here has made",
        Status.REJECTED,
    ),  # fmt: skip
    Reason(
        "return-path-expired", Reply(550, "5.7.1", "This return address has expired"), "a bounce to an address whose time is over", Status.REJECTED
    ),
    Reason(
        "return-path-rate", Reply(451, "4.7.1", "Too much has come back for this message, please try again later"),
        "more bounces and replies to one return path than an hour may bring",
    ),  # fmt: skip
    Reason(
        "report-rate", Reply(451, "4.7.1", "Too many reports have come today, please try again later"),
        "more reports about our domains than a day may bring, from one address or in all",
    ),  # fmt: skip
    Reason("relay-denied", Reply(550, "5.1.2", "Relaying denied"), "the domain is not ours, or not verified", Status.REJECTED),
    Reason("unknown-recipient", Reply(550, "5.1.1", "No such recipient here"), "the domain is ours, the address does not exist", Status.REJECTED),
    Reason(
        "unverified-recipient",
        Reply(450, "4.1.1", "Recipient cannot be verified at the moment, please try again later"),
        "the domain's own host could not be asked whether the address exists",
    ),
    Reason("domain-disabled", Reply(450, "4.2.1", "Mail for this domain is not accepted at the moment"), "its owner switched the domain off"),
    Reason("blocked", Reply(550, "5.7.1", "[RULE] Blocked by recipient policy"), "a block rule of the people's own", Status.BLOCKED),
    Reason("blocklist", Reply(550, "5.7.1", "[LIST] Blocked by recipient policy"), "the sender or network is on a block list", Status.BLOCKED),
    Reason(
        "dmarc", Reply(550, "5.7.1", "[DMARC] Refused by the policy of the author's domain"), "its author's domain wants such mail refused",
        Status.REJECTED,
    ),  # fmt: skip
    Reason("acl", Reply(550, "", "[ACL] Blocked"), "its user may not send from the domain it is from", Status.REJECTED),
    Reason(
        "not-owned", Reply(553, "5.7.1", "Sender address rejected: not owned by user"), "a person may not send as that address", Status.REJECTED
    ),
    Reason("quota", Reply(421, "4.7.1", "Rate limit exceeded. Try again later."), "its user has used up the quota of the window"),
    Reason(
        "abuse", Reply(550, "5.7.1", "[ABUSE] Sender blocked: spam or abuse detected"), "its sender passed a limit and is blocked", Status.BLOCKED
    ),
    Reason(
        "lockdown", Reply(550, "5.7.1", "[LOCKDOWN] This sender is not authorized"), "its domain names other users than this one, or other networks",
        Status.REJECTED,
    ),  # fmt: skip
    Reason(
        "lockdown-unknown",
        Reply(451, "4.7.1", "[LOCKDOWN] Whether this sender is authorized cannot be checked at the moment, please try again later"),
        "DNS could not tell whom its domain names",
    ),  # fmt: skip
    Reason(
        "suppressed", Reply(550, "5.7.1", "[SUPPRESSED] The recipient is on the suppression list"), "mail came back from it, or it complained, or a "
        "person wrote it down: users do not write there", Status.REJECTED,
    ),  # fmt: skip
    Reason("spf-invalid", Reply(550, "", "[SPF_INVALID] Blocked"), "its domain has not published SPF as is asked for", Status.REJECTED),
    Reason(
        "attachment", Reply(550, "5.7.1", "Message refused: attachments of this kind are not accepted"), "it carries a file the domain does not take",
        Status.REJECTED,
    ),  # fmt: skip
    Reason("virus", Reply(554, "5.7.1", "Message refused: malware"), "a scanner named malware", Status.REJECTED),
    Reason("spam", Reply(554, "5.7.1", "[SPAM] Message refused for its content"), "its score reached the reject threshold", Status.SPAM),
    Reason("suspect", Reply(250, "2.0.0", "OK"), "its score reached the spam threshold: held, or delivered with a mark", Status.QUARANTINED),
    Reason("greylist", Reply(451, "4.7.1", "Greylisted, please try again in five minutes"), "its score reached the defer threshold, first contact"),
    Reason("fault", Reply(451, "4.3.0", "Temporary failure here, please try again later"), "a part of ours failed; the sender keeps the mail"),
)

REASONS: dict[str, Reason] = {reason.word: reason for reason in _LIST}

_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
MAX_DETAIL = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about the message. `symbol` in capitals; `score` adds to the recipient's total; `detail` is for the log and never leaves the house by
    SMTP."""

    symbol: str
    score: float = 0.0
    detail: str = ""

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol):
            raise ValueError(f"finding symbol {self.symbol!r} is not capitals, digits and _")
        if not math.isfinite(self.score):
            raise ValueError(f"finding {self.symbol} has a score that is no number")
        if len(self.detail) > MAX_DETAIL:
            object.__setattr__(self, "detail", self.detail[:MAX_DETAIL])


@dataclass(frozen=True, slots=True)
class Ruling:
    """`action` for `reason`, a word of REASONS. `reply` replaces the reason's public text; its class must fit: 4xx for DEFER, 5xx for REJECT.
    `keeps`: what is refused is stored all the same, for the domain's owner to look at (reason spam alone)."""

    action: Action
    reason: str
    reply: Reply | None = None
    keeps: bool = False

    def __post_init__(self) -> None:
        if self.keeps and (self.action is not Action.REJECT or self.reason != "spam"):
            raise ValueError("only a refusal for the score keeps a copy: anything else refused must not come back")
        if self.reason not in REASONS:
            raise ValueError(f"reason {self.reason!r} is not on the closed list")
        code = self.public_reply.code // 100
        if self.action is Action.DEFER and code != 4:
            raise ValueError(f"a deferral needs a 4xx reply, {self.reason!r} says {self.public_reply}")
        if self.action is Action.REJECT and code != 5:
            raise ValueError(f"a refusal needs a 5xx reply, {self.reason!r} says {self.public_reply}")

    @property
    def public_reply(self) -> Reply:
        """What the peer hears."""
        return self.reply if self.reply is not None else REASONS[self.reason].reply


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer. `trusts`: whatever filters say, and lists below this rule's level, counts for nothing (a LIST rule's word; POLICY is never
    silenced). `headers`: complete field lines without CRLF, ASCII, to be added on top of the message. `evidence`: a value for rules that come after
    this one, read by its type and stored nowhere."""

    findings: tuple[Finding, ...] = ()
    ruling: Ruling | None = None
    trusts: bool = False
    headers: tuple[str, ...] = ()
    evidence: object = None


NO_OPINION = Verdict()


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict and who gave it. `recipient` is the recipient's place in the envelope, None when it is about all of them. `order` is the rule's
    place in the effective order of its chain, so that opinions sort the same whoever answered first."""

    rule: str
    order: int
    kind: Kind
    level: Level
    recipient: int | None
    verdict: Verdict
