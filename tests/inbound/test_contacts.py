"""Greylisting and correspondents as a whole transaction sees them."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.mail.address import parse
from jetmail.store.traffic import contacts
from tests.inbound.receiving import GTUBE, MESSAGE, NOW, ROOT, House

RULES = (ROOT / "etc/rules.toml").read_text("utf-8")
TRIPLE = '[[rule]]\nname = "{0}"\nclass = "jetmail.rules.checks.greylist.FirstContact"\noptions = {{ enabled = true{1} }}\n'


KEPT = ("domain", "recipient", "domain-rules", "address-rules", "gtube", "correspondents", "thresholds")


def chain(*more: str) -> str:
    """Those rules of the shipped chain that this is about, GTUBE's mild strings on, and `more`."""
    blocks = [block for block in RULES.split("[[rule]]") if any(f'name = "{name}"' in block for name in KEPT)]
    return "[[rule]]" + "[[rule]]".join(blocks).replace("variants = false", "variants = true") + "".join(more)


def house(options: str = "") -> House:
    """A house that greylists first contacts."""
    return House(chain(TRIPLE.format("greylist", options)))


def mild(house: House) -> Any:
    """Mail whose score is over the defer threshold and below the others."""
    return house.session().send(MESSAGE + b"Z" + GTUBE)


def test_first_contact_waits() -> None:
    """The first time 451 at RCPT, too early again, then taken; from then on at once."""
    home = house()
    visit = home.session()
    visit.mail()
    assert visit.rcpt().code == 451
    home.clock.advance(100)
    assert home.session().mail().is_positive
    visit.mail()
    assert visit.rcpt().code == 451
    home.clock.advance(200)
    assert home.session("192.0.2.99").send().code == 250
    home.clock.advance(86_400 * 30)
    assert home.session().send().code == 250


def test_too_late_is_a_first_contact() -> None:
    """Who comes back after the window waits again, and then passes."""
    home = house()
    visit = home.session()
    visit.mail()
    assert visit.rcpt().code == 451
    home.clock.advance(172_900)
    visit.mail()
    assert visit.rcpt().code == 451
    home.clock.advance(300)
    assert home.session().send().code == 250


def test_networks_that_pass_are_believed() -> None:
    """After so many contacts that came back, a network's new ones need not wait; another network's do."""
    home = house(", passes = 2")
    for sender in ("a@one.example", "b@two.example"):
        visit = home.session()
        visit.mail(sender)
        assert visit.rcpt().code == 451
        home.clock.advance(300)
        assert home.session().send(sender=sender).code == 250
    assert home.session().send(sender="c@three.example").code == 250
    other = home.session("198.51.100.7")
    other.mail("c@three.example")
    assert other.rcpt().code == 451


@pytest.mark.parametrize("scope", ["domain", "address"])
def test_who_may_be_allowed_does_not_wait(scope: str) -> None:
    """Greylisting stands below the people's allow rules, also where only the content will tell."""
    home = house()
    key = "demo.test" if scope == "domain" else "bob@demo.test"
    home.add_rule("allow", scope, key, '{"subjects": [{"match_type": "contains", "subject_value": "Hello"}]}')
    assert home.session().send().code == 250


def test_only_some_domains() -> None:
    """With `domains` the others are not greylisted."""
    home = house(', domains = ["other.test"]')
    assert home.session().send().code == 250


def test_by_score() -> None:
    """A score over the defer threshold waits once; the same memory serves both kinds."""
    home = House(chain())
    assert mild(home).code == 451
    home.clock.advance(300)
    assert mild(home).code == 250
    home.clock.advance(86_400 * 10)
    assert mild(home).code == 250


def test_correspondents_do_not_wait() -> None:
    """Whom one of ours has written to is neither greylisted at first contact nor for a score, and weighs less."""
    home = house()
    home.write(contacts.wrote, parse("bob@demo.test"), [parse("alice@example.org")], NOW)
    home.services.contacts.wrote()
    assert mild(home).code == 250
    findings = home.rows("SELECT findings FROM messages")[0][0]
    assert '"KNOWN_CORRESPONDENT","score":-2.0' in findings


def test_correspondents_of_the_domain() -> None:
    """A colleague's correspondent weighs a little less; the header From counts where the envelope is a machine's."""
    home = House(chain())
    home.write(contacts.wrote, parse("ann@demo.test"), [parse("alice@example.org")], NOW)
    home.services.contacts.load(NOW)
    assert home.session().send(sender="bounce-77@machines.example").code == 250
    assert "KNOWN_TO_DOMAIN" in home.rows("SELECT findings FROM messages")[0][0]


def test_strangers_with_a_forged_crowd() -> None:
    """Several addresses in From are nobody's correspondent."""
    home = House(chain())
    home.write(contacts.wrote, parse("bob@demo.test"), [parse("alice@example.org")], NOW)
    home.services.contacts.load(NOW)
    assert home.session().send(MESSAGE.replace(b"From: Alice", b"From: x@evil.example, Alice"), sender="x@evil.example").code == 250
    assert "KNOWN" not in home.rows("SELECT findings FROM messages")[0][0]


def test_sending_makes_correspondents() -> None:
    """What somebody sends who has logged in makes its recipients known, in the transaction that stores it; a crowd does not."""
    home = House(chain())
    home.add_user(domains=("demo.test", "example.org"))
    visit = home.submission()
    assert visit.send(sender="bob@demo.test", to=("peer@far.example",)).code == 250
    crowd = tuple(f"peer{number}@far.example" for number in range(60))
    assert visit.send(sender="bob@demo.test", to=crowd).code == 250
    assert home.rows("SELECT owner, peer FROM correspondents ORDER BY owner") == [
        ("bob@demo.test", "peer@far.example"), ("demo.test", "peer@far.example"),
    ]  # fmt: skip
    assert home.session().send(MESSAGE, sender="peer@far.example").code == 250
    assert "KNOWN_CORRESPONDENT" in home.rows("SELECT findings FROM messages ORDER BY id DESC LIMIT 1")[0][0]


def test_inbound_mail_makes_none() -> None:
    """What strangers send makes nobody known."""
    home = House(chain())
    assert home.session().send().code == 250
    assert home.rows("SELECT * FROM correspondents") == []
