"""What we relay for a domain gets an ARC seal of ours (RFC 8617), so that where it goes can see what we saw when it came.

The seal covers the message as it is relayed: fields are added on top by the same commit, and none that it covers is removed. The key is a PEM file
in etc/; docs/authentication.md says how to make one and what to publish.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from jetmail.errors import ConfigError
from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.mailauth import arc
from jetmail.mailauth.canonical import hash_bodies
from jetmail.mailauth.signing import Signer, SigningError, load
from jetmail.rules.authenticated import Authenticated, evidence
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.verdict import NO_OPINION, Kind, OnError, Scope, Stage, Verdict

ALL = "*"


@dataclass(frozen=True, slots=True)
class ArcSealOptions:
    """`recipients`: domains of ours whose mail is sealed, `*` for all; none: nothing is. `domain` and `selector` say who seals, `key` is the PEM file
    of the private key, relative to etc/."""

    recipients: tuple[str, ...] = ()
    domain: str = ""
    selector: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.recipients and not (self.domain and self.selector and self.key):
            raise ValueError("domain, selector and key are needed to seal for anybody")


@implementer(IRule)
class ArcSeal(Rule):
    """Adds ARC-Seal, ARC-Message-Signature and ARC-Authentication-Results for recipients of the named domains."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP
    after = ("authentication",)
    needs = ("authentication",)
    Options = ArcSealOptions

    def __init__(self, name: str, options: ArcSealOptions) -> None:
        super().__init__(name, options)
        self._recipients = frozenset(domain.lower() for domain in options.recipients)
        self._signer: Signer | None = None
        self._last: tuple[Message | None, Verdict] = (None, NO_OPINION)

    def bind(self, services: RuleServices) -> None:
        """Read the key. Raises ConfigError."""
        if not self._recipients:
            return
        path = services.etc / self.options.key
        try:
            self._signer = load(path.read_bytes(), self.options.domain.lower(), self.options.selector.lower())
        except (OSError, SigningError) as error:
            raise ConfigError([f"rule '{self.name}': options.key: {path.name}: {error}"]) from error

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class. Recipients of one message share one seal."""
        if self._signer is None or facts.message is None or not (ALL in self._recipients or policy.domain in self._recipients):
            return NO_OPINION
        if self._last[0] is not facts.message:
            found = evidence(facts.opinions)
            self._last = facts.message, self._sealed(self._signer, facts.message, found, facts.time) if found is not None else NO_OPINION
        return self._last[1]

    def _sealed(self, signer: Signer, message: Message, found: Authenticated, now: float) -> Verdict:
        body_hash = found.bodies.get(arc.ALL) or hash_bodies(message.body_chunks(), [arc.ALL])[arc.ALL]
        fields = arc.seal(signer, message.fields, found.arc, body_hash[0], found.results.encode("ascii", "replace"), now)
        return Verdict(headers=tuple(field.removesuffix(b"\r\n").decode("ascii") for field in fields))
