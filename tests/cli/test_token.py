"""token add, list, show, revoke."""

from __future__ import annotations

import hashlib

import pytest

from jetmail.store.database import InlineDatabase
from jetmail.store.directory import api_tokens, smtp_users
from jetmail.store.directory.smtp_users import SmtpUser
from tests.cli.conftest import CommandLine


@pytest.fixture
def app(jetmail: CommandLine) -> CommandLine:
    """With the SMTP user app."""
    jetmail.ok("domain", "list")
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(smtp_users.add, SmtpUser("550e8400-e29b-41d4-a716-446655440000", 1, "app", "secret"))
    database.close()
    return jetmail


def test_add(app: CommandLine) -> None:
    """The token is shown once and is what the store has the hash of; listing and showing tell its beginning only."""
    (made,) = app.rows("token", "add", "app", "--name", "shop", "--network", "192.0.2.0/24", "--expires", "90d")
    assert "shown this once" in app.err
    assert made["expires"] == app.now + 90 * 86_400
    database = InlineDatabase(str(app.directory / "var" / "jetmail.db"))
    stored = database.read(api_tokens.get, 1)
    database.close()
    assert stored is not None and stored.secret == hashlib.sha256(made["token"].encode()).digest()
    for words in (("token", "list"), ("token", "show", "1"), ("token", "list", "--user", "app", "--json")):
        text = app.ok(*words)
        assert made["prefix"] in text and made["token"] not in text


def test_revoke(app: CommandLine) -> None:
    """A revoked token says so; a second time, or one that is not there, is a failure."""
    app.ok("token", "add", "app", "--name", "shop")
    app.run("token", "revoke", "1", answer="n")
    assert app.code == 1
    app.ok("token", "revoke", "1", "--yes")
    assert app.rows("token", "show", "1")[0]["status"] == "revoked"
    for words, told in (
        (("revoke", "1", "--yes"), "revoked already"),
        (("show", "2"), "no such token: 2"),
        (("add", "nobody", "--name", "x"), "no such SMTP user"),
    ):
        app.run("token", *words)
        assert (app.code, told in app.err) == (1, True), app.err


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("show", "x"), "id"),
        (("add", "app", "--name", ""), "name"),
        (("add", "app", "--name", "n", "--network", "x"), "networks"),
        (("add", "app"), "--name"),
    ],
)
def test_mistakes(app: CommandLine, words: tuple[str, ...], field: str) -> None:
    """A mistake names the field, and the exit code is 2."""
    app.run("token", *words)
    assert (app.code, app.err.startswith(f"jetmail: {field}")) == (2, True), app.err
