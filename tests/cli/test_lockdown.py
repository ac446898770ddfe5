"""lockdown check and record."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.cli.context import Context
from jetmail.store.database import InlineDatabase
from jetmail.store.directory import smtp_users
from jetmail.store.directory.smtp_users import SmtpUser
from tests.cli.conftest import CommandLine
from tests.fakes import FakeResolver

UUID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture
def zone(jetmail: CommandLine, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Any]:
    """A DNS of its own, and the SMTP user app."""
    resolver = FakeResolver()
    monkeypatch.setattr(Context, "resolver", resolver)
    jetmail.ok("domain", "list")
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(smtp_users.add, SmtpUser(UUID, 1, "app", "secret"))
    database.close()
    return resolver.zone


def test_open(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """A domain without a record keeps nobody out, and says where it was looked for."""
    (told,) = jetmail.rows("lockdown", "check", "mail.example.com")
    assert (told["standing"], told["asked"]) == ("open", ["_jm.mail.example.com", "_jm.example.com"])


def test_explained(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """Who is named, who that is, from where, and what the owner did not mean."""
    zone["_jm.example.com", "TXT"] = [f"v=jm1 auth={UUID} auth=stranger net=192.0.2.0/24 what".encode()]
    (told,) = jetmail.rows("lockdown", "check", "mail.example.com")
    assert (told["standing"], told["owner"]) == ("locked", "example.com")
    assert told["records"][0]["admits"] == [
        {"auth": UUID, "username": "app", "uuid": UUID}, {"auth": "stranger", "username": "", "uuid": ""},
    ]  # fmt: skip
    text = jetmail.ok("lockdown", "check", "example.com")
    assert "SMTP user app" in text and "192.0.2.0/24" in text and "what means nothing here" in text


def test_person(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """People are admitted and explained like SMTP users, by address or uuid; the record has the uuid."""
    jetmail.ok("domain", "add", "own.test", "--destination", "127.0.0.1:25", "--verified")
    (person,) = jetmail.rows("person", "add", "ann@own.test")
    (record,) = jetmail.rows("lockdown", "record", "own.test", "--user", "Ann@own.test")
    assert record["value"] == f"v=jm1 auth={person['uuid']}"
    zone["_jm.own.test", "TXT"] = [record["value"].encode()]
    (told,) = jetmail.rows("lockdown", "check", "own.test", "--user", "ann@own.test")
    assert (told["standing"], told["records"][0]["admits"][0]["username"]) == ("admitted", "ann@own.test")


@pytest.mark.parametrize(
    ("words", "standing", "code"),
    [
        (("--user", "app"), "admitted", 0),
        (("--user", "APP", "--ip", "192.0.2.9"), "admitted", 0),
        (("--user", UUID, "--ip", "198.51.100.1"), "refused", 1),
        (("--user", "stranger"), "admitted", 0),
        (("--user", "somebody"), "refused", 1),
    ],
)
def test_judged(jetmail: CommandLine, zone: dict[tuple[str, str], Any], words: tuple[str, ...], standing: str, code: int) -> None:
    """A user is judged as a message of theirs would be, and the exit code says it."""
    zone["_jm.example.com", "TXT"] = [f"v=jm1 auth={UUID} auth=stranger net=192.0.2.0/24".encode()]
    assert f'"standing": "{standing}"' in jetmail.run("lockdown", "check", "example.com", *words, "--json")
    assert jetmail.code == code


def test_record(jetmail: CommandLine, zone: dict[tuple[str, str], Any]) -> None:
    """The record to publish names users by uuid, with the documented TTL."""
    (told,) = jetmail.rows("lockdown", "record", "Example.com", "--user", "app", "--net", "192.0.2.7")
    assert told == {"name": "_jm.example.com", "ttl": 14400, "value": f"v=jm1 auth={UUID} net=192.0.2.7"}
    (told,) = jetmail.rows("lockdown", "record", "example.com")
    assert told["value"] == "v=jm1"


@pytest.mark.parametrize(
    ("words", "told", "code"),
    [
        (("lockdown", "check", "[192.0.2.1]"), "domain: ", 2),
        (("lockdown", "check", "example.com", "--ip", "here"), "ip: ", 2),
        (("lockdown", "record", "example.com", "--user", "nobody"), "no such SMTP user or person: nobody", 1),
        (("lockdown", "record", "example.com", "--user", "app", "--net", "here"), "net: ", 2),
    ],
)
def test_mistakes(jetmail: CommandLine, zone: dict[tuple[str, str], Any], words: tuple[str, ...], told: str, code: int) -> None:
    """A mistake is named by its field."""
    jetmail.run(*words)
    assert jetmail.code == code and told in jetmail.err


def test_record_for_nobody(jetmail: CommandLine) -> None:
    """A record without a user locks everybody out, which is said beside it."""
    assert "value  v=jm1" in jetmail.ok("lockdown", "record", "example.com")
    assert "without --user this record lets nobody send" in jetmail.err
