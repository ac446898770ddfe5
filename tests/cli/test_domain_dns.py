"""domain verify, dns, spf-include; dkim list, show, rotate, records."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.cli.context import Context
from tests.cli.conftest import CommandLine
from tests.fakes import FakeResolver


@pytest.fixture
def zone(jetmail: CommandLine, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Any]:
    """A DNS of its own; we are mail.test."""
    settings = jetmail.directory / "etc" / "jetmail.toml"
    settings.write_text(settings.read_text().replace('# zone = ""', 'zone = "mail.test"'))
    resolver = FakeResolver({("spf.mail.test", "TXT"): [b"v=spf1 ip4:192.0.2.1 -all"]})
    monkeypatch.setattr(Context, "resolver", resolver)
    return resolver.zone


def publish(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """As told, to the letter; and our own zone with it."""
    (report,) = jetmail.rows("domain", "dns", "example.com")
    for record in report["records"]:
        zone[record["name"], record["kind"]] = [record["value"].encode() if record["kind"] == "TXT" else record["value"]]
    ours = {}
    for line in jetmail.ok("dkim", "records", "--zone").splitlines()[1:]:
        name, _, _, _, text = line.split(" ", 4)
        ours[name.removesuffix(".")] = text.replace('" "', "").strip('"').encode()
    for (name, kind), found in list(zone.items()):
        if kind == "CNAME" and found[0] in ours:
            zone[name, "TXT"] = [ours[found[0]]]


def test_from_nothing_to_ready(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """Added, told what to publish, published, proved, keys made, published, signing: every step by the command line."""
    jetmail.ok("domain", "add", "example.com", "--destination", "mail.example.com")
    jetmail.run("domain", "verify", "example.com")
    assert jetmail.code == 1 and "MISSING" in jetmail.out and "_mailportal-verify.example.com. 3600 IN TXT" in jetmail.out
    publish(jetmail, zone)
    assert "ownership is proved" in jetmail.ok("domain", "verify", "example.com")
    publish(jetmail, zone)
    (report,) = jetmail.rows("domain", "verify", "example.com")
    assert report["is_ready"] and {record["status"] for record in report["records"]} == {"ok"}
    assert [(row["selector"], row["state"]) for row in jetmail.rows("dkim", "list")] == [("jm1", "active"), ("jm1e", "active")]
    assert "in DNS       there" in jetmail.ok("dkim", "show", "example.com")
    assert [row["selector"] for row in jetmail.rows("dkim", "show", "example.com")] == ["jm1", "jm1e"]
    lines = jetmail.ok("domain", "dns", "example.com", "--zone").splitlines()
    assert len(lines) == 8 and "bounces.example.com. 3600 IN CNAME return.mail.test." in lines
    assert jetmail.ok("dkim", "records", "example.com").splitlines()[0] == "jm1._domainkey.example.com. 3600 IN CNAME jm1.example.com.dkim.mail.test."


def test_rotation_by_hand(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """The next keys are made now, and a second time not before the first is over."""
    jetmail.ok("domain", "add", "example.com", "--destination", "mail.example.com", "--verified")
    jetmail.ok("domain", "verify", "example.com")
    publish(jetmail, zone)
    jetmail.ok("domain", "verify", "example.com")
    assert "jm2 is made" in jetmail.ok("dkim", "rotate", "example.com")
    jetmail.run("dkim", "rotate", "example.com")
    assert jetmail.code == 1 and "waits to be seen in DNS" in jetmail.err


def test_whitelabel(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """An account's own name for SPF is set, shown with what to publish there, checked, and taken back."""
    assert "ours" in jetmail.ok("domain", "spf-include")
    (told,) = jetmail.rows("domain", "spf-include", "spf.brand.example")
    assert (told["status"], told["value"]) == ("missing", "v=spf1 include:spf.mail.test ~all")
    jetmail.ok("domain", "add", "example.com", "--destination", "mail.example.com")
    assert '"v=spf1 include:spf.brand.example ~all"' in jetmail.ok("domain", "dns", "example.com")
    assert jetmail.rows("domain", "spf-include", "--clear")[0]["name"] == ""
    assert '"v=spf1 include:spf.mail.test ~all"' in jetmail.ok("domain", "dns", "example.com")


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (("domain", "verify", "nothing.example"), "no such domain: nothing.example", 1),
        (("domain", "dns", "nothing.example"), "no such domain: nothing.example", 1),
        (("domain", "dns", "example.com", "--account", "7"), "no such account: 7", 1),
        (("domain", "spf-include", "nodot"), "name: ", 2),
        (("domain", "spf-include", "spf.brand.example", "--account", "7"), "no such account: 7", 1),
        (("dkim", "rotate", "example.com"), "not verified", 1),
        (("dkim", "show", "nothing.example"), "no such domain", 1),
    ],
)
def test_mistakes(jetmail: CommandLine, zone: dict[tuple[str, str], Any], words: tuple[str, ...], told: str, code: int) -> None:
    """What is not there or makes no sense is said so."""
    jetmail.ok("domain", "add", "example.com", "--destination", "mail.example.com")
    jetmail.run(*words)
    assert jetmail.code == code and told in jetmail.err
