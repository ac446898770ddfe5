"""A whole message through every shipped rule to a decision; people's own rules; answers of scanners."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from zope.interface import implementer

from jetmail.classifier.classifier import Classifier, seed
from jetmail.errors import UsageError
from jetmail.interfaces import IExecutor
from jetmail.mail.address import AddressError, parse
from jetmail.mail.message import Message
from jetmail.mail.reply import Reply
from jetmail.offload import InlineExecutor
from jetmail.rules import attachments, mapfile
from jetmail.rules.checks.rspamd import Rspamd, RspamdOptions
from jetmail.rules.clamd import ClamdSession, ScanError
from jetmail.rules.conditions import compile_conditions
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import Kind
from tests.fuzz.mutation import SEPARATOR
from tests.fuzz.target import letters, target
from tests.fuzz.targets.auth import DKIM, RECORDS, AnyResolver, split
from tests.fuzz.targets.mail import FIELDS, HTML
from tests.inbound.receiving import GTUBE, ROOT, House
from tests.rules.bound import bound
from tests.rules.samples import facts

ON = (  # rules that are off as shipped and need nothing but DNS and the store; greylisting for one domain, because it lets nothing in at first
    ("greylist", "enabled = false", 'domains = ["grey.test"]'),
    ("dnsbl", "enabled = false", "enabled = true"),
    ("uribl", "enabled = false", "enabled = true"),
)
MAX_MESSAGES = 400  # in one house
WAIT = 40  # seconds after which everything that waits has given up


@implementer(ILogObserver)
class Faults:
    """What is logged as a failure."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: Any) -> None:
        if event.get("log_failure") is not None or event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self.seen.append(f"{event.get('log_format')} {event.get('rule', '')} {failure.getTraceback() if failure is not None else ''}"[-2_500:])


class _Place:
    """A house with every shipped rule at work, new when it is full."""

    def __init__(self) -> None:
        self.house: House | None = None
        self.messages = 0

    def get(self) -> House:
        if self.house is None or self.messages >= MAX_MESSAGES:
            self.house, self.messages = _built(), 0
        self.messages += 1
        return self.house


def _built() -> House:
    tables = (ROOT / "etc/rules.toml").read_text("utf-8").split("[[rule]]")
    for name, off, on in ON:
        place = next(place for place, table in enumerate(tables) if f'name = "{name}"' in table)
        assert off in tables[place]
        tables[place] = tables[place].replace(off, on)
    text = "[[rule]]".join(tables)
    house = House(text, inline_limit=1 << 21)
    scores = Scores(house.chain.symbols)
    services = RuleServices(
        "mx.demo.test",
        house.clock,
        house.resolver,
        IExecutor(InlineExecutor()),
        scores,
        ROOT / "etc",
        ROOT / "var",
        classifier=Classifier(seed(), "mx.demo.test"),
    )
    house.chain.bind(services)
    house.add_domain("tag.test", spam_action="tag", recipients="listed")
    house.add_domain("grey.test")
    house.add_recipient("ann@tag.test")
    house.add_rule("block", conditions=json.dumps({"subjects": [{"subject_value": "^re:.*invoice", "match_type": "regex"}]}), uuid="one")
    house.add_rule("allow", conditions=json.dumps({"senders": [{"sender_value": "example.net", "match_type": "domain"}]}), uuid="two")
    return house


PLACE = _Place()


def _messages() -> list[bytes]:
    return [letter + SEPARATOR + SEPARATOR.join(RECORDS[turn % 5 :: 5]) for turn, letter in enumerate(letters())] + [b"Subject: x\r\n\r\n" + GTUBE]


def _raises(*_: Any) -> Any:
    raise ValueError("broken on purpose")


@target("chain", _messages, *FIELDS, *DKIM[:6], *HTML[:16], b"v=spf1 -all", b"v=DMARC1; p=reject", b"http://", seconds_per_100k=1.0)
def chain(octets: bytes) -> None:
    """Any message, any DNS: a reply and, when it is taken, a row; no rule raises. Now and then one is broken on purpose: still a decision."""
    content, records = split(octets)
    house = PLACE.get()
    lot = hashlib.blake2b(octets, digest_size=4).digest()
    faults = Faults()
    resolver = AnyResolver(records or list(RECORDS), stalls=lot[0] % 4 == 0)
    house.resolver.query = resolver.query  # type: ignore[method-assign]
    broken = house.chain.entries[lot[1] % len(house.chain.entries)] if lot[0] % 5 == 1 else None
    if broken is not None:
        broken.rule.judge = _raises
    globalLogPublisher.addObserver(faults)
    try:
        reply = _sent(house, content, lot)
    finally:
        globalLogPublisher.removeObserver(faults)
        if broken is not None:
            del broken.rule.judge
    assert reply is not None, "no decision"
    assert isinstance(reply, Reply) and 200 <= reply.code <= 599, reply
    if broken is None:
        assert not faults.seen, faults.seen[0]
    elif broken.kind is Kind.POLICY:
        assert not reply.is_positive or faults.seen == [], f"{broken.name} was broken and the message taken"
    assert house.clock.getDelayedCalls() == [], "something is left waiting"


SENDERS = ("alice@example.org", "", "x@example.net", '"a b"@xn--mnchen-3ya.de', "bob@demo.test", "a@[192.0.2.1]")
TO = (("bob@demo.test",), ("bob@demo.test", "ann@tag.test"), ("ann@tag.test", "x@grey.test"), tuple(f"r{turn}@demo.test" for turn in range(12)))
CLIENTS = ("192.0.2.7", "2001:db8::7", "8.8.4.7", "127.0.0.1", "10.0.0.1")


def _waited(house: House, answer: Any) -> Reply | None:
    if isinstance(answer, Reply):
        return answer
    got: list[Any] = []
    answer.addBoth(got.append)
    for _ in range(WAIT):
        if got:
            break
        house.clock.advance(1)
    return got[0] if got else None


def _sent(house: House, content: bytes, lot: bytes) -> Reply | None:
    visit = house.session(CLIENTS[lot[2] % len(CLIENTS)])
    for answer in (visit.greeting, visit.mail(SENDERS[lot[3] % len(SENDERS)])):
        reply = _waited(house, answer)
        if reply is None or not reply.is_positive:
            return reply
    taken = [reply for address in TO[lot[2] % len(TO)] if (reply := _waited(house, visit.rcpt(address))) is None or reply.is_positive]
    if not taken or None in taken:
        return taken[0] if taken else Reply(550, "5.1.1", "nobody was taken")
    before = house.rows("SELECT count(*) FROM deliveries")[0][0]
    reply = _waited(house, visit.content(content))
    house.clock.advance(WAIT)
    if reply is not None and reply.is_positive:
        assert house.rows("SELECT count(*) FROM deliveries")[0][0] >= before + len(taken), "taken, and not in the store"
    return reply


def _conditions() -> list[bytes]:
    each: list[dict[str, Any]] = [
        {"senders": [{"sender_value": "a@example.org", "match_type": "email"}, {"sender_value": ".*@x", "match_type": "regex"}]},
        {
            "recipients": [{"recipient_value": "demo.test", "match_type": "domain"}],
            "subjects": [{"subject_value": "x", "match_type": "contains", "case_sensitive": True}],
        },
        {
            "body": [{"body_value": "(a|b)*c", "match_type": "regex", "max_body_size": 1000}],
            "headers": [{"header_name": "X-A", "header_value": "b", "match_type": "exact"}],
        },
        {
            "ips": [{"ip_value": "192.0.2.0/24", "match_type": "cidr"}, {"ip_value": "10.0.0.1-10.0.0.9", "match_type": "range"}],
            "size": {"min_size": 1, "max_size": 10000},
        },
        {
            "attachments": [
                {"attachment_value": "exe", "match_type": "extension"},
                {"match_type": "any"},
                {"attachment_value": "application/*", "match_type": "mime_type"},
            ]
        },
    ]
    shaped = [json.dumps(one).encode() for one in each] + [
        b'{"types":["program"],"extensions":["exe"],"archives":true,"action":"reject","locked":true}'
    ]
    return [one + SEPARATOR + letters()[turn % 3] for turn, one in enumerate(shaped)] + [one.replace(b"_value", b"") for one in shaped]


@target(
    "conditions", _conditions, b"senders", b"recipients", b"subjects", b"body", b"headers", b"ips", b"size", b"attachments",
    b'"match_type":"regex"', b'"regex"', b'"exact"',
    b"(?i)", b"(a*)*", b"{1000}", b"[[:alpha:]]", b"\\pL", b"\\\\", b"null", b"true", b"1e400", b"-1", b"[]", b"{}", b"NaN", b'"\\ud800"',
    b'"\\u0000"', b"192.0.2.0/24", b"::-::1",
)  # fmt: skip
def conditions(octets: bytes) -> None:
    """Any JSON: UsageError naming the field, or conditions that answer yes, no or not yet about any message."""
    text, _, content = octets.partition(SEPARATOR)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = {"subjects": [{"subject_value": text.decode("utf-8", "replace"), "match_type": "regex"}]}
    message = Message(content)
    for compile_it in (compile_conditions, attachments.parse):
        try:
            made: Any = compile_it(given)
        except UsageError as error:
            assert str(error)
            continue
        if compile_it is compile_conditions:
            for is_allow in (False, True):
                assert made.match(facts(None), is_allow=is_allow) in (True, False, None)
                assert made.match(facts(message), is_allow=is_allow) in (True, False)
                assert made.match(facts(message, sender="", address="::1"), is_allow=is_allow) in (True, False)
        else:
            made.stored()


@target(
    "map-files",
    lambda: [b"a@example.org\nexample.net # c\n192.0.2.0/24\n2001:db8::/32\nre:^.*@x\\.example$\n@example.com\n\n;x\n.y.example\n"],
    b"re:",
    b"#",
    b"\n",
    b"@",
    b"/",
    b"(?i)",
    b"{999}",
    b"*",
    b"\xe2\x80\xa8",
    b"xn--",
)
def map_files(octets: bytes) -> None:
    """A list as a sysadmin may write it: BadFile naming lines, or content that answers every question."""
    text = octets[:200_000].decode("utf-8", "replace")
    try:
        content = mapfile.parse(text)
    except mapfile.BadFile as error:
        assert str(error)
        return
    content.has_text("a@example.org"), content.has_domain("a.example.net"), content.has_network(None)
    try:
        content.has_address(parse(text[:100].strip()))
    except AddressError:
        content.has_address(parse("a@example.org"))


def _answers() -> list[bytes]:
    return [
        b"stream: OK\0", b"stream: Win.Test.EICAR_HDB-1 FOUND\0", b"INSTREAM size limit exceeded. ERROR\0", b"stream: \xff FOUND\0x",
        b'{"score": 7.5, "required_score": 15, "action": "add header", "symbols": {"A": {"score": 1.5, "name": "A"}, "B": {"score": -2}}}',
        b'{"score": NaN, "action": "reject", "is_skipped": true, "symbols": {}}', b'{"score": 1e999, "symbols": null}',
        b'{"score":"1","symbols":{"' + b"X" * 300 + b'":{}}}',
    ]  # fmt: skip


RSPAMD = bound(Rspamd("rspamd", RspamdOptions(enabled=True)))


@target(
    "scanner-answers",
    _answers,
    b"stream:",
    b" OK",
    b" FOUND",
    b"\0",
    b'"score":',
    b'"symbols":',
    b'"action":"reject"',
    b"NaN",
    b"Infinity",
    b"1e999",
    b"null",
    b"{",
    b"[",
    b'"\\ud800"',
)
def scanners(octets: bytes) -> None:
    """What clamd or rspamd answers: a word, a finding of finite weight or ScanError."""
    try:
        found = RSPAMD._read(octets)
        assert all(abs(finding.score) <= 100 for finding in found.findings)
        json.dumps([(finding.symbol, finding.score, finding.detail) for finding in found.findings], allow_nan=False).encode("utf-8")
    except ScanError as error:
        assert str(error)
    session = ClamdSession(iter(()))
    got: list[Any] = []
    session.result.addBoth(got.append)
    for place in range(0, min(len(octets), 3_000), 100):
        session.dataReceived(octets[place : place + 100])
    session.connectionLost()
    assert len(got) == 1 and not isinstance(got[0], Deferred)
