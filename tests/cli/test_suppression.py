"""The commands of the suppression list."""

from __future__ import annotations

import json

from tests.cli.conftest import NOW, CommandLine

ANN = "ann@far.test"


def test_life(jetmail: CommandLine) -> None:
    """Add, list, show, set, remove: each says what is, as text and as JSON."""
    shown = json.loads(jetmail.ok("suppression", "add", "Ann@far.test", "--reason", "unsubscribe", "--expires", "30d", "--json"))
    assert (shown["address"], shown["reason"], shown["account"], shown["expires"]) == (ANN, "unsubscribe", "default", NOW + 30 * 86_400)
    assert ANN in jetmail.ok("suppression", "list", "--search", "far")
    assert jetmail.rows("suppression", "list", "--reason", "bounce") == []
    assert "until    2026-12-31" in jetmail.ok("suppression", "set", ANN, "--expires", "2026-12-31 12:00")
    assert jetmail.rows("suppression", "set", ANN, "--expires", "never", "--detail", "x")[0]["expires"] is None
    assert "lifted" in jetmail.ok("suppression", "show", ANN)
    jetmail.run("suppression", "remove", ANN, answer="n")
    assert jetmail.code == 1
    assert jetmail.ok("suppression", "remove", ANN, answer="y").startswith("removed  ann@far.test")
    assert jetmail.ok("suppression", "list") == "nobody is suppressed\n"


def test_mistakes(jetmail: CommandLine) -> None:
    """A wrong value is told by its name with exit code 2, what is not there with 1."""
    for words, code, said in (
        (("add", "ann"), 2, "address: 'ann'"),
        (("add", ANN, "--expires", "soon"), 2, "--expires: 'soon'"),
        (("add", ANN, "--reason", "whim"), 2, "--reason"),
        (("set", ANN, "--detail", "x"), 1, f"no such suppression: {ANN}"),
        (("remove", ANN), 1, f"no such suppression: {ANN}"),
        (("add", ANN, "--account", "nobody"), 1, "no such account: nobody"),
        (("import", "/nowhere.csv"), 1, "/nowhere.csv"),
    ):
        jetmail.run("suppression", *words)
        assert jetmail.code == code and said in jetmail.err, words
    jetmail.ok("suppression", "add", ANN)
    jetmail.run("suppression", "add", ANN)
    assert jetmail.code == 1 and "is suppressed already (manual)" in jetmail.err


def test_lists(jetmail: CommandLine) -> None:
    """Each account has a list, and the appliance one; `list` shows all, or one."""
    jetmail.ok("account", "add", "acme")
    jetmail.ok("suppression", "add", ANN)
    jetmail.ok("suppression", "add", ANN, "--account", "acme")
    jetmail.ok("suppression", "add", ANN, "--appliance")
    assert [row["account"] for row in jetmail.rows("suppression", "list")] == ["", "acme", "default"]
    assert [row["account"] for row in jetmail.rows("suppression", "list", "--account", "acme")] == ["acme"]
    assert [row["account_id"] for row in jetmail.rows("suppression", "list", "--appliance")] == [0]
    assert "--after" in jetmail.ok("suppression", "list", "--limit", "2")
    jetmail.ok("suppression", "remove", ANN, "--appliance")
    assert len(jetmail.rows("suppression", "list")) == 2


def test_files(jetmail: CommandLine) -> None:
    """A file is looked at first with --dry-run, then taken in; wrong rows are listed and make the exit code 1; what is exported can be imported."""
    file = jetmail.directory / "old.csv"
    file.write_text("target_value,reason\na@far.test,complaint\nb@far.test,\nb@far.test,\nnonsense,\n")
    jetmail.run("suppression", "import", str(file), "--dry-run")
    assert jetmail.code == 1 and "to insert  2" in jetmail.out and "row 5" in jetmail.out
    assert jetmail.rows("suppression", "list") == []
    jetmail.run("suppression", "import", str(file), "--json")
    found = json.loads(jetmail.out)
    assert (found["inserted"], found["skipped"], [failed["row"] for failed in found["failed"]]) == (2, 1, [5])
    out = jetmail.ok("suppression", "export")
    assert out.splitlines()[0].startswith("target_value,reason,expires,detail")
    file.write_text(out)
    assert "inserted  2" in jetmail.ok("suppression", "import", str(file), "--appliance")
    jetmail.run("suppression", "import", str(file))
    assert jetmail.code == 0 and "skipped   2" in jetmail.out
