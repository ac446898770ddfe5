"""The sysadmin's own lists in files below etc/ (rules.mapfile): who is let in, who is not, and what adds to or takes from the score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.checks.uribl import link_hosts
from jetmail.rules.facts import Facts, parse_ip
from jetmail.rules.mapfile import Content, MapFile
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Symbol
from jetmail.rules.verdict import NO_OPINION, Action, Finding, Kind, Level, OnError, Ruling, Scope, Stage, Verdict

BLOCKED = Ruling(Action.REJECT, "blocklist")


@dataclass(frozen=True, slots=True)
class MapOptions:
    """One list. `file` below etc/. `what` of a message is looked up in it: the `client`'s address, the envelope `sender`, the header `from`, or the
    hosts its links lead to (`url`). `action`: `block` refuses, `allow` trusts, `score` adds the finding `symbol` with `score`."""

    file: str
    what: Literal["client", "sender", "from", "url"]
    action: Literal["block", "allow", "score"] = "score"
    symbol: str = ""
    score: float = 0.0

    def __post_init__(self) -> None:
        path = PurePosixPath(self.file)
        if not self.file or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"lists: {self.file!r} is no path below etc/")
        if (self.action == "score") != bool(self.symbol):
            raise ValueError(f"lists: {self.file}: a symbol belongs to action score, and to no other")
        if self.action == "allow" and self.what == "url":
            raise ValueError(f"lists: {self.file}: a link allows nothing: anybody can put one into a message")


@dataclass(frozen=True, slots=True)
class MapsOptions:
    """`lists`: the files and what they are for."""

    lists: tuple[MapOptions, ...] = ()


@implementer(IRule)
class Maps(Rule):
    """Trusts what an allow list names (unless it is forged as plain as can be seen: to allow by header From, it must be well formed and all its
    addresses listed), else refuses what a block list names (reason blocklist); and adds the findings of the others."""

    stage = Stage.CONTENT
    kind = Kind.LIST
    level = Level.APPLIANCE
    scope = Scope.MESSAGE
    on_error = OnError.DEFER
    Options = MapsOptions

    def __init__(self, name: str, options: MapsOptions) -> None:
        super().__init__(name, options)
        self._lists: tuple[tuple[MapOptions, MapFile], ...] = ()
        text = "It is on a list of this server's."
        declared = {each.symbol: Symbol(each.symbol, each.score, text, "Own lists") for each in options.lists if each.symbol}
        for each in options.lists:
            if each.symbol:
                Finding(each.symbol)  # raises ValueError for a word that is none
                if declared[each.symbol].score != each.score:
                    raise ValueError(f"lists: {each.symbol} has two scores")
        self.SYMBOLS = tuple(declared.values())

    def bind(self, services: RuleServices) -> None:
        """Reads every file once."""
        self._scores = services.scores
        files: dict[str, MapFile] = {}
        for each in self.options.lists:
            if each.file not in files:
                files[each.file] = MapFile(services.etc / each.file, services.executor, services.clock)
                files[each.file].load()
        self._lists = tuple((each, files[each.file]) for each in self.options.lists)

    def judge(self, facts: Facts, policy: Policy) -> Verdict:
        """See the class. A file that two lists share is asked for each of them."""
        if not self._lists:
            return NO_OPINION
        findings: list[Finding] = []
        trusts, ruling = False, None
        for options, file in self._lists:
            found = _found(options, file.content, facts)
            if not found:
                continue
            if options.action == "score":
                findings.append(self._scores.finding(options.symbol, f"{options.file}: {found}"))
            elif options.action == "allow":
                trusts = True
                findings.append(Finding("ALLOW_LIST", 0.0, f"{options.file}: {found}"))
            else:
                ruling = BLOCKED
                findings.append(Finding("BLOCK_LIST", 0.0, f"{options.file}: {found}"))
        return Verdict(tuple(findings), None if trusts else ruling, trusts) if findings else NO_OPINION


def _found(options: MapOptions, content: Content, facts: Facts) -> str:
    """What of the message is listed; '' for nothing."""
    match options.what:
        case "client":
            address = facts.client.address
            return address if content.has_network(facts.client.ip) or content.has_text(address) else ""
        case "sender":
            sender = facts.sender.address if facts.sender is not None else None
            return str(sender) if sender is not None and content.has_address(sender) else ""
        case "from":
            if facts.message is None:
                return ""
            said = facts.message.sender
            listed = [address for address in said.addresses if content.has_address(address)]
            if options.action == "allow" and not (said.is_sound and len(listed) == len(said.mailboxes)):
                return ""
            return str(listed[0]) if listed else ""
        case "url":
            hosts = link_hosts(facts.message) if facts.message is not None else ()
            return next((host for host in hosts if content.has_network(parse_ip(host)) or content.has_domain(host)), "")
