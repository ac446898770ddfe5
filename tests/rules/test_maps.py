"""Own lists in files: what lines mean, that changes are seen and mistakes are not, and what the rule makes of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from jetmail.interfaces import IExecutor
from jetmail.mail.address import parse as address
from jetmail.offload import InlineExecutor
from jetmail.rules import mapfile
from jetmail.rules.checks.maps import MapOptions, Maps, MapsOptions
from jetmail.rules.facts import parse_ip
from jetmail.rules.mapfile import BadFile, MapFile
from jetmail.rules.verdict import NO_OPINION
from tests.rules.bound import bound, found, verdict
from tests.rules.samples import NOW, facts, message, policy

TEXT = """\
# people we know
192.0.2.7
198.51.100.0/24   # a neighbour
2001:db8::/32
203.0.113.1-203.0.113.9
example.org
Bob@Friends.example

re:^news\\d+@   lists\\.example$
re:(promo|offer)-#\\d
"""


@pytest.fixture
def clock() -> Clock:
    """At NOW."""
    made = Clock()
    made.advance(NOW)
    return made


def logged() -> tuple[list[str], Any]:
    """Lines of error and above from now on, and the observer to take away."""
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_level") is not None and event["log_level"].name in ("error", "critical") and "reason" in event:
            lines.append(f"{event['line']}: {event['reason']}")

    globalLogPublisher.addObserver(observe)
    return lines, observe


@pytest.mark.parametrize(
    ("text", "is_listed"),
    [("192.0.2.7", True), ("192.0.2.8", False), ("198.51.100.200", True), ("203.0.113.5", True), ("203.0.113.10", False), ("2001:db8:1::5", True)],
)
def test_networks(text: str, is_listed: bool) -> None:
    """Addresses, networks and ranges of both families."""
    assert mapfile.parse(TEXT).has_network(parse_ip(text)) is is_listed


@pytest.mark.parametrize(
    ("text", "is_listed"),
    [
        ("anybody@example.org", True),
        ("anybody@sub.example.org", True),
        ("anybody@notexample.org", False),
        ("bob@friends.example", True),
        ("bobby@friends.example", False),
        ("promo-#7@where.example", True),
    ],
)
def test_senders(text: str, is_listed: bool) -> None:
    """A domain covers its subdomains, an address itself in any case, an expression whatever it is found in."""
    assert mapfile.parse(TEXT).has_address(address(text)) is is_listed


def test_every_bad_line_is_named() -> None:
    """Lines that make no sense are told with their numbers, all of them."""
    with pytest.raises(BadFile) as caught:
        mapfile.parse("good.example\n192.0.2.300\nre:(unclosed\n\nnot a domain\nre:\n10.0.0.0/99\n")
    assert [line for line, _ in caught.value.faults] == [2, 3, 5, 6, 7]
    assert "unclosed" in caught.value.faults[1][1] or "missing" in caught.value.faults[1][1]


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    """Any text is a list or a BadFile, and nothing else."""
    try:
        mapfile.parse(text).has_address(address("a@b.example"))
    except BadFile as error:
        assert error.faults


def test_changes_are_seen_within_a_second(tmp_path: Path, clock: Clock) -> None:
    """A changed file counts after at most a second, and is not even looked at more often."""
    path = tmp_path / "list.txt"
    path.write_text("one.example\n")
    file = MapFile(path, IExecutor(InlineExecutor()), clock)
    file.load()
    assert file.content.has_domain("one.example")
    path.write_text("two.example\nthree.example\n")
    assert file.content.has_domain("one.example")
    clock.advance(1.1)
    assert file.content is not None  # this look finds the change and reads it
    assert file.content.has_domain("a.three.example") and not file.content.has_domain("one.example")


def test_a_file_replaced_by_one_of_equal_size(tmp_path: Path, clock: Clock) -> None:
    """A rename over the file is seen by the inode, whatever the times say."""
    path = tmp_path / "list.txt"
    path.write_text("one.example\n")
    file = MapFile(path, IExecutor(InlineExecutor()), clock)
    file.load()
    before = path.stat()
    other = tmp_path / "new.txt"
    other.write_text("two.example\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)
    clock.advance(1.1)
    assert file.content.has_domain("two.example") or file.content.has_domain("two.example")


def test_a_broken_file_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    """What cannot be read leaves the old content standing; each fault is logged once with its line; a mended file counts again."""
    path = tmp_path / "list.txt"
    path.write_text("one.example\n")
    file = MapFile(path, IExecutor(InlineExecutor()), clock)
    file.load()
    lines, observer = logged()
    try:
        for broken in (b"one.example\n10.0.0.0/99\n", b"\xff\xfe\x00", None):
            path.write_bytes(broken) if broken is not None else path.unlink()
            for _ in range(3):
                clock.advance(1.1)
                assert file.content.has_domain("one.example")
        assert len(lines) == 3 and lines[0].startswith("2: ") and "gone" in lines[2]
    finally:
        globalLogPublisher.removeObserver(observer)
    path.write_text("mended.example\n")
    clock.advance(1.1)
    assert file.content is not None  # this look finds the change and reads it
    assert file.content.has_domain("mended.example")


@implementer(IExecutor)
class SlowExecutor:
    """Keeps what it was given until told."""

    def __init__(self) -> None:
        self.work: list[Any] = []

    def run(self, fn: Any, *args: Any) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        self.work.append((deferred, fn, args))
        return deferred


def test_reading_happens_elsewhere(tmp_path: Path, clock: Clock) -> None:
    """While a thread reads, the old content answers and nobody reads a second time."""
    path = tmp_path / "list.txt"
    executor = SlowExecutor()
    file = MapFile(path, executor, clock)
    file.load()
    path.write_text("one.example\n")
    for _ in range(3):
        clock.advance(1.1)
        assert not file.content.has_domain("one.example")
    assert len(executor.work) == 1
    deferred, fn, args = executor.work[0]
    deferred.callback(fn(*args))
    assert file.content.has_domain("one.example")


def lists(tmp_path: Path, *options: MapOptions, **texts: str) -> Any:
    """The rule over files of these texts."""
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return bound(Maps("maps", MapsOptions(options)), etc=tmp_path)


def test_actions(tmp_path: Path) -> None:
    """Block refuses, score adds, and allow within the same level beats block."""
    rule = lists(
        tmp_path,
        MapOptions("bad.txt", "sender", "block"),
        MapOptions("odd.txt", "client", "score", "ODD_CLIENT", 2.5),
        MapOptions("good.txt", "client", "allow"),
        bad="example.org\n",
        odd="192.0.2.0/24\n",
        good="192.0.2.99\n",
    )
    answer = verdict(rule, facts(message()), policy())
    assert answer.ruling is not None and answer.ruling.reason == "blocklist" and not answer.trusts
    assert found(answer) == {"BLOCK_LIST": 0.0, "ODD_CLIENT": 2.5}
    answer = verdict(rule, facts(message(), address="192.0.2.99"), policy())
    assert answer.trusts and answer.ruling is None
    assert verdict(rule, facts(message(), sender="x@other.example", address="203.0.113.1"), policy()) is NO_OPINION


@pytest.mark.parametrize(
    ("value", "is_blocked", "is_allowed"),
    [
        ("a@listed.example", True, True),
        ("a@listed.example, b@other.example", True, False),
        ("a@listed.example, <broken", True, False),
        ("", False, False),
    ],
)
def test_header_from(tmp_path: Path, value: str, is_blocked: bool, is_allowed: bool) -> None:
    """To block, one listed address is enough; to allow, the field must be sound and all of it listed."""
    content = message(From=value) if value else message()
    blocks = lists(tmp_path, MapOptions("a.txt", "from", "block"), a="listed.example\n")
    allows = lists(tmp_path, MapOptions("a.txt", "from", "allow"), a="listed.example\n")
    assert (verdict(blocks, facts(content), policy()).ruling is not None) is is_blocked
    assert verdict(allows, facts(content), policy()).trusts is is_allowed


def test_links(tmp_path: Path) -> None:
    """A link's host is looked up as name and as address."""
    rule = lists(tmp_path, MapOptions("urls.txt", "url", "score", "BAD_LINK", 4.0), urls="evil.example\n8.8.4.0/24\n")
    for text, score in (("http://www.evil.example/x", 4.0), ("http://8.8.4.4/", 4.0), ("http://fine.example/", None)):
        assert found(verdict(rule, facts(message(text)), policy())).get("BAD_LINK") == score


@pytest.mark.parametrize(
    "options",
    [
        {"file": "/etc/passwd", "what": "client", "action": "block"},
        {"file": "../x", "what": "client", "action": "block"},
        {"file": "x", "what": "client"},
        {"file": "x", "what": "client", "action": "block", "symbol": "A"},
        {"file": "x", "what": "url", "action": "allow"},
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any]) -> None:
    """A path outside etc/, a score without a symbol, trust by link: refused."""
    with pytest.raises(ValueError, match="lists:"):
        MapOptions(**options)
