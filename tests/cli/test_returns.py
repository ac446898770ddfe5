"""The commands about what came back."""

from __future__ import annotations

import json
from pathlib import Path

from jetmail.mail import returnpath
from jetmail.store.returnkeys import ReturnKeys
from tests.cli.conftest import NOW, CommandLine
from tests.mail.test_returned import DSN


def test_nothing(jetmail: CommandLine) -> None:
    """An empty list says so; what is not there fails."""
    assert jetmail.ok("returns", "list", "--hard") == "nothing came back\n"
    assert jetmail.rows("returns", "list", "--kind", "bounce", "--message", "x", "--recipient", "y") == []
    jetmail.run("returns", "show", "7")
    assert jetmail.code == 1 and "no such return: 7" in jetmail.err


def test_token(jetmail: CommandLine) -> None:
    """A return path is explained by the keys in the state directory; a forged one is said to be, with exit code 1."""
    ring = ReturnKeys(jetmail.directory / "var", lambda octets: b"k" * octets).turned(NOW, 0.0, 86_400.0)
    uid = jetmail.accept(1, "bob@far.test", user="u", sender="app@example.org")
    address = returnpath.made(ring, NOW, uid, 1, True, "bounces.example.org")
    shown = json.loads(jetmail.ok("returns", "token", address, "--json"))
    assert (shown["status"], shown["about"], shown["recipient"], shown["sender"]) == ("ok", uid, "bob@far.test", "app@example.org")
    assert "goes to    app@example.org" in jetmail.ok("returns", "token", address)
    jetmail.run("returns", "token", address.replace("example.org", "example.net"))
    assert jetmail.code == 1 and "forged" in jetmail.out
    jetmail.run("returns", "token", "bob@far.test")
    assert jetmail.code == 2 and "address: 'bob@far.test' is neither" in jetmail.err


def test_read(jetmail: CommandLine, tmp_path: Path) -> None:
    """A file is read as it would be on the way in; a letter of a person is exit code 1."""
    (tmp_path / "bounce.eml").write_bytes(DSN)
    shown = json.loads(jetmail.ok("returns", "read", str(tmp_path / "bounce.eml"), "--json"))
    assert (shown["kind"], shown["recipients"][0]["word"], shown["message_id"]) == ("bounce", "no-such-user", "<1@example.org>")
    assert "bob@inner.example.net  failed 5.1.1 no-such-user" in jetmail.ok("returns", "read", str(tmp_path / "bounce.eml"))
    (tmp_path / "letter.eml").write_bytes(b"From: a@example.net\r\nSubject: hi\r\n\r\nhi\r\n")
    jetmail.run("returns", "read", str(tmp_path / "letter.eml"))
    assert jetmail.code == 1 and "other" in jetmail.out
    jetmail.run("returns", "read", "/nowhere.eml")
    assert jetmail.code == 1 and "/nowhere.eml" in jetmail.err
