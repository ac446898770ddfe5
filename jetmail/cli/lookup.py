"""DNS for the command line: one question after the other, each waited for, so that actions over it finish at once (cli.context.settled).

Asks the servers of [dns], as the running process does, and reads answers by the same rules; keeps nothing but what one command asks twice.
"""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from jetmail.dns import EDNS_PAYLOAD, DnsOptions, read_answer, server_addresses
from jetmail.interfaces import Answer, AnswerKind, IResolver


@implementer(IResolver)
class BlockingResolver:
    """See the module."""

    def __init__(self, options: DnsOptions) -> None:
        self._options = options
        self._servers = server_addresses(options)
        self._known: dict[tuple[str, str], Answer] = {}

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        """See IResolver.query."""
        key = (name.lower().rstrip("."), rdtype)
        if key not in self._known:
            self._known[key] = self._ask(*key)
        return succeed(self._known[key])

    def _ask(self, name: str, rdtype: str) -> Answer:
        try:
            qname = dns.name.from_text(name, idna_codec=dns.name.IDNA_2008) if name else dns.name.root
        except (dns.exception.DNSException, UnicodeError):
            return Answer(AnswerKind.NXDOMAIN)
        validating = self._options.validating
        question: Any = dns.message.make_query(qname, rdtype, use_edns=0, payload=EDNS_PAYLOAD, want_dnssec=validating)
        if validating:
            question.flags |= dns.flags.AD
        last = Answer(AnswerKind.TIMEOUT)
        for address, port in self._servers * 2:
            try:
                response, _ = dns.query.udp_with_fallback(question, address, timeout=self._options.try_timeout, port=port, ignore_unexpected=True)
                answer = read_answer(response, rdtype, validating)
            except dns.exception.Timeout:
                continue
            except (dns.exception.DNSException, OSError, EOFError):
                last = Answer(AnswerKind.SERVFAIL)
                continue
            if answer.kind is not AnswerKind.SERVFAIL:
                return answer
            last = answer
        return last
