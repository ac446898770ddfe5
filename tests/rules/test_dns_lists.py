"""Lists asked by DNS: what is asked, what answers mean, and that nothing else ever does."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IResolver
from jetmail.mail.message import Message
from jetmail.rules import registry
from jetmail.rules.checks.dnsbl import AddressListOptions, AddressLists
from jetmail.rules.checks.uribl import DomainListOptions, DomainLists
from jetmail.rules.facts import Client
from jetmail.rules.verdict import NO_OPINION
from jetmail.rules.zones import CodeOptions, Pattern, ZoneOptions, reverse
from tests.rules.bound import begin, bound, found, verdict
from tests.rules.samples import NOW, facts, message, policy

CLIENT = "8.8.4.7"
ONE = (ZoneOptions("bl.test", (CodeOptions("127.0.0.2", "BAD", 3.0), CodeOptions("127.0.0.4-7", "WORSE", 5.0)), ("127.0.0.99",)),)
BITS = (ZoneOptions("uri.test", (CodeOptions("127.0.0.&8", "PHISH", 5.0), CodeOptions("127.0.0.&64", "ABUSE", 4.0)), ("127.0.0.1",)),)


def addresses(zone: Any, clock: Clock | None = None, **options: Any) -> Any:
    """The rule about clients, switched on."""
    return bound(AddressLists("dnsbl", AddressListOptions(**{"enabled": True, "zones": ONE} | options)), zone=zone, clock=clock)


def domains(zone: Any, **options: Any) -> Any:
    """The rule about domains, switched on."""
    return bound(DomainLists("uribl", DomainListOptions(**{"enabled": True, "zones": BITS} | options)), zone=zone)


def warnings() -> tuple[list[str], Any]:
    """What is logged from now on, and the observer to take away again."""
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_level") is not None and event["log_level"].name == "warn":
            lines.append(event["what"])

    globalLogPublisher.addObserver(observe)
    return lines, observe


@pytest.mark.parametrize(
    ("text", "octets", "is_match"),
    [
        ("127.0.0.2", (127, 0, 0, 2), True),
        ("127.0.0.2", (127, 0, 0, 3), False),
        ("127.0.*.1", (127, 0, 9, 1), True),
        ("127.0.0.4-7", (127, 0, 0, 7), True),
        ("127.0.0.4-7", (127, 0, 0, 8), False),
        ("127.0.0.&8", (127, 0, 0, 24), True),
        ("127.0.0.&8", (127, 0, 0, 16), False),
    ],
)
def test_patterns(text: str, octets: tuple[int, ...], is_match: bool) -> None:
    """An octet is a number, anything, a range or a bit."""
    assert Pattern(text).matches(bytes(octets)) is is_match


@pytest.mark.parametrize("text", ["127.0.0", "127.0.0.300", "127.0.0.7-4", "127.0.0.x", "", "127.0.0.&"])
def test_bad_patterns(text: str) -> None:
    """What cannot be meant is refused."""
    with pytest.raises(ValueError, match="octet"):
        Pattern(text)


def test_reversal() -> None:
    """RFC 5782 2.1 and 2.4: octets of IPv4, nibbles of IPv6."""
    assert reverse(ipaddress.ip_address("192.0.2.7")) == "7.2.0.192"
    assert reverse(ipaddress.ip_address("2001:db8::1")) == "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2"


def test_listed_client() -> None:
    """Each meaning of each answer is a finding with its weight, its list and its answer."""
    rule = addresses({("7.4.8.8.bl.test", "A"): ["127.0.0.2", "127.0.0.6", "127.0.0.50"]})
    answer = verdict(rule, facts(message(), address=CLIENT), policy())
    assert found(answer) == {"BAD": 3.0, "WORSE": 5.0}
    assert answer.findings[0].detail == "8.8.4.7 in bl.test (127.0.0.2)"


def test_ipv6_client() -> None:
    """An IPv6 client is asked about by nibbles."""
    name = reverse(ipaddress.ip_address("2a00:1450::5")) + ".bl.test"
    assert found(verdict(addresses({(name, "A"): ["127.0.0.2"]}), facts(message(), address="2a00:1450::5"), policy())) == {"BAD": 3.0}


@pytest.mark.parametrize("kind", [AnswerKind.NXDOMAIN, AnswerKind.NODATA, AnswerKind.SERVFAIL, AnswerKind.TIMEOUT])
def test_no_answer_is_no_finding(kind: AnswerKind) -> None:
    """Not listed, nobody there, too late: nothing is added."""
    assert verdict(addresses({("7.4.8.8.bl.test", "A"): kind}), facts(message(), address=CLIENT), policy()) is NO_OPINION


@pytest.mark.parametrize("record", ["127.255.255.254", "127.255.255.252", "127.0.0.99", "198.51.100.1", "nonsense"])
def test_blocked_resolver_is_never_a_hit(record: str) -> None:
    """An answer that says 'not you', or one that some resolver made up, is a warning, once an hour, and no finding."""
    clock = Clock()
    clock.advance(NOW)
    rule = addresses({("7.4.8.8.bl.test", "A"): [record, "127.0.0.2"]}, clock=clock)
    lines, observer = warnings()
    try:
        for _ in range(3):
            assert verdict(rule, facts(message(), address=CLIENT), policy()) is NO_OPINION
        assert len(lines) == 1
        clock.advance(3601)
        verdict(rule, facts(message(), address=CLIENT), policy())
        assert len(lines) == 2
    finally:
        globalLogPublisher.removeObserver(observer)


@pytest.mark.parametrize("address", ["192.168.1.1", "127.0.0.1", "fe80::1", "8.8.8.8"])
def test_who_is_not_asked_about(address: str) -> None:
    """Private addresses and excepted networks are on no list; nobody is asked."""
    rule = addresses({}, except_for=("8.8.8.0/24",))
    assert verdict(rule, facts(message(), address=address), policy()) is NO_OPINION
    assert rule._services.resolver.asked == []


def test_off_until_enabled() -> None:
    """As shipped neither rule asks anybody."""
    for rule in (AddressLists("dnsbl", AddressListOptions()), DomainLists("uribl", DomainListOptions())):
        assert rule.judge(facts(message("http://bad.test/"), address=CLIENT), policy()) is NO_OPINION


@implementer(IResolver)
class SilentResolver:
    """Answers what it is told to, the rest never."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.waiting: list[Deferred[Answer]] = []

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        deferred: Deferred[Answer] = Deferred()
        answer = self.answers.get(name.rpartition(".bl")[2][:1])
        if answer is not None:
            deferred.callback(answer)
        else:
            self.waiting.append(deferred)
        return deferred


def test_budget() -> None:
    """What has answered within the budget counts, the rest is let go, and no timer stays behind."""
    clock = Clock()
    clock.advance(NOW)
    three = tuple(ZoneOptions(f"bl{n}.test", (CodeOptions("127.0.0.2", f"BAD{n}", 3.0),)) for n in range(3))
    rule = bound(
        AddressLists("dnsbl", AddressListOptions(enabled=True, zones=three)),
        clock=clock,
        resolver=SilentResolver(**{"1": Answer(AnswerKind.FOUND, ("127.0.0.2",))}),
    )
    got = begin(rule, facts(message(), address=CLIENT), policy())
    clock.advance(1.9)
    assert not got
    clock.advance(0.2)
    assert found(got[0]) == {"BAD1": 3.0}
    assert clock.getDelayedCalls() == []


def test_domains_of_a_message() -> None:
    """From, envelope, HELO and links are asked about by registered domain, each once; several names make one finding a symbol."""
    listed = {(f"{name}.uri.test", "A"): ["127.0.0.72"] for name in ("bad.example", "worse.co.uk")}
    text = "see http://www.bad.example/x?y and https://a.b.worse.co.uk:8080/ and http://fine.example/ www.bad.example"
    rule = domains(listed)
    content = message(text, From="A <a@mail.from.example>", Content_Type="text/plain")
    answer = verdict(rule, facts(content, sender="b@env.example"), policy())
    assert found(answer) == {"PHISH": 5.0, "ABUSE": 4.0}
    assert "bad.example in uri.test" in answer.findings[0].detail and "worse.co.uk" in answer.findings[0].detail
    assert [name for name, _ in rule._services.resolver.asked] == [
        f"{name}.uri.test" for name in ("from.example", "env.example", "bad.example", "worse.co.uk", "fine.example")
    ]


def test_links_of_html() -> None:
    """What is asked about is where a link leads, not what it says; a form's goal counts too."""
    html = '<a href="https://login.evil.example/">www.bank.example</a><form action="http://catch.example/"></form>'
    rule = domains({}, ask_about=("link",))
    verdict(rule, facts(message(html, Content_Type="text/html")), policy())
    asked = {name.removesuffix(".uri.test") for name, _ in rule._services.resolver.asked}
    assert {"evil.example", "catch.example"} <= asked


def test_lookups_are_limited() -> None:
    """However many links there are, so many look-ups are made and no more."""
    two = (*BITS, ZoneOptions("two.test", (CodeOptions("127.0.0.2", "TWO", 1.0),)))
    rule = domains({}, zones=two, max_lookups=10)
    verdict(rule, facts(message(" ".join(f"http://host{n}.example/" for n in range(500)))), policy())
    assert len(rule._services.resolver.asked) == 10


def test_addresses_and_exceptions() -> None:
    """Links to addresses are asked about on demand, reversed; excepted domains never, with all below them."""
    text = "http://8.8.4.4/ http://www.ours.example/ http://[2a00:1450::5]/"
    content = message(text, Content_Type="text/plain")
    asked = []
    for wanted in (False, True):
        rule = domains({}, ask_about=("link",), addresses=wanted, except_for=("ours.example",))
        verdict(rule, facts(content), policy())
        asked.append([name for name, _ in rule._services.resolver.asked])
    assert asked[0] == []
    assert asked[1][0] == "4.4.8.8.uri.test" and all("ours" not in name for name in asked[1])


@given(st.binary(max_size=2_000), st.text(max_size=60))
def test_any_message(octets: bytes, helo: str) -> None:
    """Whatever the octets and whatever was said at HELO: a verdict, and no more look-ups than allowed."""
    for kind in (b"text/html", b"text/plain"):
        content = Message(b"From: " + octets[:100] + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + octets + b" <a href='http://" + octets + b"'>x</a>")
        rule = domains({}, addresses=True)
        client = Client(CLIENT, helo=helo)
        assert verdict(rule, facts(content)._replace(client=client), policy()) is NO_OPINION
        assert len(rule._services.resolver.asked) <= 30


@given(st.lists(st.text(max_size=20) | st.ip_addresses().map(str), max_size=8))
def test_any_answer(records: list[str]) -> None:
    """Whatever a server answers: a verdict."""
    rule = addresses({("7.4.8.8.bl.test", "A"): records})
    assert set(found(verdict(rule, facts(message(), address=CLIENT), policy()))) <= {"BAD", "WORSE"}


RULE = '[[rule]]\nname = "{name}"\nclass = "jetmail.rules.checks.{path}"\n[rule.options]\nenabled = true\n{rest}'


def test_zones_from_rules_toml() -> None:
    """Zones with their codes are written in rules.toml, and their symbols become the rule's."""
    zone = '[[rule.options.zones]]\nzone = "bl.example"\ncodes = [{ match = "127.0.0.2", symbol = "MINE", score = 1.5, text = "Ours." }]\n'
    chain = registry.parse(RULE.format(name="dnsbl", path="dnsbl.AddressLists", rest=zone))
    assert [(symbol.word, symbol.score, symbol.text) for symbol in chain.symbols] == [("MINE", 1.5, "Ours.")]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ('[{ match = "127.0.0", symbol = "A", score = 1 }]', "four octets"),
        ("[]", "codes: none"),
        ('[{ match = "127.0.0.1", symbol = "A", score = 1 }, { match = "127.0.0.2", symbol = "A", score = 2 }]', "two scores"),
    ],
)
def test_zones_that_cannot_be_meant(codes: str, reason: str) -> None:
    """A chain with such a zone does not boot, and the reason is said."""
    rest = f'[[rule.options.zones]]\nzone = "bl.example"\ncodes = {codes}\n'
    with pytest.raises(registry.ConfigError, match=reason):
        registry.parse(RULE.format(name="dnsbl", path="dnsbl.AddressLists", rest=rest))
