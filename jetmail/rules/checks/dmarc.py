"""What a failed DMARC means for one recipient: the author's domain asks, the recipient's domain decides whether it is heard.

`enforce` (the default): `p=reject` is refused naming the domain whose policy it is, `p=quarantine` is treated as spam is at this domain. `score`:
both only weigh. `ignore`: neither. Mail that a known list or a trusted forwarder passed on fails by no fault of its author: it only weighs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.mailauth import authres
from jetmail.mailauth.dmarc import DmarcPolicy, DmarcResult
from jetmail.rules.authenticated import Authenticated, evidence
from jetmail.rules.facts import Facts
from jetmail.rules.policy import DISABLED_SCORE, DmarcMode, Policy, SpamAction
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import symbols
from jetmail.rules.verdict import NO_OPINION, Action, Kind, OnError, Ruling, Scope, Stage, Verdict

_LIST_ID = re.compile(rb"<[ \t]*([A-Za-z0-9._-]{1,253})[ \t]*>[ \t\r\n]*\Z")
_LIST_POST = re.compile(rb"<[ \t\r\n]*mailto:[^<>@\s]{1,100}@([A-Za-z0-9.-]{1,253})", re.IGNORECASE)
_HELD = Ruling(Action.QUARANTINE, "suspect")
_MARKED = Ruling(Action.MARK, "suspect")
_WORDS = {DmarcPolicy.REJECT: "DMARC_REJECT", DmarcPolicy.QUARANTINE: "DMARC_QUARANTINE", DmarcPolicy.NONE: "DMARC_FAIL"}


@dataclass(frozen=True, slots=True)
class DmarcOptions:
    """`lists`: mail with a valid signature of the mailing list it says it came through only weighs. `trusted_sealers`: domains whose ARC seal is
    believed, and all below them."""

    lists: bool = True
    trusted_sealers: tuple[str, ...] = ()


@implementer(IRule)
class Dmarc(Rule):
    """Refuses (reason dmarc), holds or marks (suspect) or weighs what fails the policy of its author's domain."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.RECIPIENT
    on_error = OnError.SKIP
    after = ("authentication",)
    needs = ("authentication",)
    Options = DmarcOptions

    SYMBOLS = symbols(
        "Authentication",
        ("DMARC_REJECT", 5.0, "The author's domain is not borne out, and its owner wants such mail refused."),
        ("DMARC_QUARANTINE", 3.5, "The author's domain is not borne out, and its owner wants such mail treated as suspicious."),
        ("DMARC_FAIL", 0.8, "The author's domain is not borne out; its owner asks for nothing to be done about it."),
        ("DMARC_LIST", 1.0, "The author's domain is not borne out, as is usual for the mailing list that signed the message."),
        ("DMARC_FORWARDED", 0.0, "The author's domain was borne out where a trusted forwarder received the message."),
    )

    def bind(self, services: RuleServices) -> None:
        """Keep the weights."""
        self._scores = services.scores

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class."""
        found = evidence(facts.opinions)
        if found is None or found.dmarc.result is not DmarcResult.FAIL or facts.message is None:
            return NO_OPINION
        dmarc = found.dmarc
        told = f"{dmarc.domain}: policy of {dmarc.policy_domain} p={dmarc.policy.name.lower()}"
        if self._is_vouched_for(found):
            return Verdict((self._scores.finding("DMARC_FORWARDED", told),))
        if self.options.lists and is_list_mail(found, facts.message):
            return Verdict((self._scores.finding("DMARC_LIST", told),))
        finding = self._scores.finding(_WORDS[dmarc.disposition], told, 0.0 if policy.dmarc is DmarcMode.IGNORE else 1.0)
        return Verdict((finding,), self._ruling(found, policy))

    def _ruling(self, found: Authenticated, policy: Policy) -> Ruling | None:
        asked = found.dmarc.disposition
        if policy.dmarc is not DmarcMode.ENFORCE or asked is DmarcPolicy.NONE:
            return None
        if asked is DmarcPolicy.REJECT:
            return Ruling(Action.REJECT, "dmarc", Reply(550, "5.7.1", f"[DMARC] Refused by the policy of {found.dmarc.policy_domain}"))
        if policy.thresholds.spam is not None and policy.thresholds.spam >= DISABLED_SCORE:
            return None  # its people want nothing treated as spam
        return _HELD if policy.spam_action is SpamAction.QUARANTINE else _MARKED

    def _is_vouched_for(self, found: Authenticated) -> bool:
        """Going back from the last seal, as far as sealers are trusted: one of them saw DMARC pass."""
        for link in reversed(found.arc.links):
            if not any(link.sealer == trusted or link.sealer.endswith("." + trusted) for trusted in self.options.trusted_sealers):
                return False
            if ("dmarc", "pass") in authres.methods(link.results):
                return True
        return False


def is_list_mail(found: Authenticated, message: Message) -> bool:
    """It names a mailing list, and a domain of that list's owner has signed it."""
    names = [match[1] for value in message.values(b"list-id")[:1] if (match := _LIST_ID.search(value[-300:]))]
    names += [match[1] for value in message.values(b"list-post")[:1] if (match := _LIST_POST.match(value[:500]))]
    owners = {found.suffixes.organisational(name.decode("ascii").lower().strip(".")) for name in names}
    return any(found.suffixes.organisational(signer) in owners for signer in found.signers)
