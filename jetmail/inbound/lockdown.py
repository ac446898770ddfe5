"""Domain Lockdown where mail is submitted: step 5 of inbound.submission, in every permission mode.

Asked about are the domains of the envelope's sender and of everybody in From, each for itself: one that does not admit the user refuses the message,
and the reply names it. A From that cannot be read properly is searched for what looks like a domain, so that a broken one is no way around.
One message has DNS_SECONDS for all of it and asks about MAX_DOMAINS domains; who writes as more at once is refused. When DNS cannot tell, the sender
comes back later: neither let through nor bounced.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jetmail.inbound.submission import Question
from jetmail.interfaces import IResolver
from jetmail.mail.address import AddressError, parse_domain
from jetmail.mail.message import FromFlaw
from jetmail.mail.reply import Reply
from jetmail.mailauth import lockdown
from jetmail.mailauth.lockdown import Standing
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.rules.budget import Budget
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Ruling, Verdict

DNS_SECONDS = 4.0
MAX_DOMAINS = 20
MAX_SEARCHED = 16_384  # octets of a broken From

_DOMAIN = re.compile(rb"@[ \t\r\n]*([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){1,126})")


class LockdownCheck:
    """A submission.Check: call it with a Question. `suffixes` is shared with whoever else reads the list."""

    def __init__(self, resolver: IResolver, suffixes: PublicSuffixes, clock: IReactorTime) -> None:
        self._resolver = resolver
        self._suffixes = suffixes
        self._clock = clock

    def __call__(self, question: Question) -> Verdict | Deferred[Verdict]:
        """NO_OPINION, or the refusal."""
        domains = domains_of(question)
        if not domains:
            return NO_OPINION
        if len(domains) > MAX_DOMAINS:
            return _refused(domains[MAX_DOMAINS], f"written as {len(domains)} domains at once")
        return Deferred.fromCoroutine(self._judge(question, domains))

    async def _judge(self, question: Question, domains: tuple[str, ...]) -> Verdict:
        budget = Budget(self._resolver, self._clock, DNS_SECONDS)
        username = question.user.username if question.user is not None else question.principal.name
        names = (question.principal.id, username)
        asking = [
            Deferred.fromCoroutine(lockdown.check(budget, self._suffixes, domain, names, question.client.address)) for domain in domains
        ]
        unknown: Any = None
        for asked in asking:
            found = await asked
            if found.standing is Standing.REFUSED:
                return _refused(found.domain, found.detail)
            if found.standing is Standing.UNKNOWN:
                unknown = unknown or found
        if unknown is not None:
            text = f"[LOCKDOWN] Whether this sender may send from {unknown.domain} cannot be checked now, please try again later"
            ruling = Ruling(Action.DEFER, "lockdown-unknown", Reply(451, "4.7.1", text))
            return Verdict((Finding("LOCKDOWN_UNKNOWN", 0.0, f"{unknown.domain}: {unknown.detail}"),), ruling)
        return NO_OPINION


def domains_of(question: Question) -> tuple[str, ...]:
    """The domains a message speaks for, envelope first, each once; address literals belong to nobody."""
    found = dict.fromkeys(domain for domain in question.domains if not domain.startswith("["))
    author = question.message.sender
    if author.flaw in (FromFlaw.MALFORMED, FromFlaw.SEVERAL_FIELDS):
        for value in question.message.values(b"from")[: MAX_DOMAINS + 1]:
            for text in _DOMAIN.findall(value, 0, MAX_SEARCHED):
                try:
                    found[parse_domain(text.decode("ascii"))] = None
                except AddressError:
                    continue
    return tuple(found)


def _refused(domain: str, detail: str) -> Verdict:
    reply = Reply(550, "5.7.1", f"[LOCKDOWN] This sender is not authorized to send from {domain}")
    return Verdict((Finding("LOCKDOWN", 0.0, f"{domain}: {detail}"),), Ruling(Action.REJECT, "lockdown", reply))
