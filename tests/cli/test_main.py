"""The front door: help, exit codes, directories, documentation."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from jetmail.cli import sample
from jetmail.cli.main import GROUPS, build_parser, main
from tests.cli.conftest import CommandLine

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = dict(sample.leaves(build_parser()))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """Its help has a sentence, an example that the parser itself understands, and every option has its words."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as left:
        main([*name.split(), "--help"])
    assert left.value.code == 0
    text = out.getvalue()
    assert "example:\n  jetmail " in text
    for action in COMMANDS[name]._actions:
        assert action.help or action.metavar == "DIR", f"{name}: {action.dest} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_right(name: str) -> None:
    """What the help shows can be typed as it stands."""
    for line in (COMMANDS[name].epilog or "").splitlines()[1:]:
        words = shlex.split(line.strip().removeprefix("jetmail ").split(" > ")[0])
        arguments = build_parser().parse_args(words)
        assert arguments.command == name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """docs/cli.md has a section for it."""
    assert f"\n## {name}\n" in (ROOT / "docs" / "cli.md").read_text("utf-8")


def test_help_lists_all_in_groups() -> None:
    """`--help` names every command once, under the heading of what one has in mind."""
    text = build_parser().format_help()
    for name in {name.split()[0] for name in COMMANDS}:
        assert len(re.findall(rf"(?m)^  {name} ", text)) == 1, name
    assert [heading for heading in GROUPS if f"\n\n{heading}:\n" not in text] == []
    places = [text.index(part) for part in ("\n  domain ", "who sends", "\n  smtp-user ", "mail on its way", "\n  webhook ")]
    assert places == sorted(places)


def test_readme_names_real_commands() -> None:
    """Every `bin/jetmail ...` line of README.md is understood."""
    for line in (ROOT / "README.md").read_text("utf-8").splitlines():
        if line.startswith("bin/jetmail "):
            words = line.split("#")[0].split()[1:]
            assert build_parser().parse_args(words).command


def test_init_makes_a_directory(tmp_path: Path) -> None:
    """Settings, rules, units and a store; the settings are valid as they are."""
    line = CommandLine(tmp_path / "new")
    line.run("init", str(line.directory), has_directory=False)
    assert line.code == 0
    files = {path.name for path in (line.directory / "etc").iterdir()}
    assert files == {"jetmail.toml", "rules.toml", "scores.toml", "providers.toml", "jetmail.service", "jetmail.socket"}
    assert (line.directory / "var" / "jetmail.db").is_file()
    assert tomllib.loads((line.directory / "etc" / "jetmail.toml").read_text())


def test_init_never_overwrites(jetmail: CommandLine) -> None:
    """A directory with settings is left as it is."""
    file = jetmail.directory / "etc" / "jetmail.toml"
    file.write_text("# mine\n")
    jetmail.run("init", str(jetmail.directory), has_directory=False)
    assert jetmail.code == 1 and "nothing was changed" in jetmail.err
    assert file.read_text() == "# mine\n"


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    """Without settings every command says which directory and how to make one."""
    line = CommandLine(tmp_path)
    for words in (("queue", "list"), ("log",), ("domain", "list"), ("rules",), ("config", "show")):
        line.run(*words)
        assert line.code == 2 and "jetmail init DIR" in line.err, words


def test_faulty_settings_are_told_in_full(jetmail: CommandLine) -> None:
    """Every fault of the settings on a line of its own, exit code 2."""
    (jetmail.directory / "etc" / "jetmail.toml").write_text('[smtp]\nmax_errors = 0\n[web]\nport = "many"\n')
    jetmail.run("queue", "list")
    assert jetmail.code == 2
    assert [line.startswith("jetmail: jetmail.toml: ") for line in jetmail.err.splitlines()] == [True, True]


def test_check_says_everything_with_exit_code_3(jetmail: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems of rules and settings are listed at once; warnings alone are no failure."""
    from jetmail.cli import checks

    monkeypatch.setattr(checks, "CHECKS", (checks.rule_chain, checks.store, checks.disk))
    assert "no problems found" in jetmail.ok("check")
    (jetmail.directory / "etc" / "rules.toml").write_text('[[rule]]\nname = "a"\nclass = "no.such.Rule"\n')
    jetmail.run("check", "--json")
    assert jetmail.code == 3 and 'rules.toml", "key": "rule' in jetmail.out
    monkeypatch.setattr(checks, "CHECKS", (lambda config: iter([checks.Problem("f", "k", "soon", is_warning=True)]),))
    assert "warning: f: k: soon" in jetmail.ok("check")


def test_directory_from_the_environment(jetmail: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """$JETMAIL_DIR is used without --dir; without both, ./var/jetmail."""
    monkeypatch.setenv("JETMAIL_DIR", str(jetmail.directory))
    jetmail.run("domain", "list", has_directory=False)
    assert jetmail.code == 0
    monkeypatch.delenv("JETMAIL_DIR")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    jetmail.run("domain", "list", has_directory=False)
    assert jetmail.code == 2 and "var/jetmail" in jetmail.err


def test_migrate_is_idempotent(jetmail: CommandLine) -> None:
    """A store that is up to date stays so."""
    assert jetmail.rows("migrate")[0]["steps"] == 0


def test_config_show_is_complete(jetmail: CommandLine) -> None:
    """Every setting with its value."""
    keys = {row["key"] for row in jetmail.rows("config", "show")}
    assert {"server.hostname", "smtp.max_message_size", "queue.lifetime", "web.port"} <= keys


def test_a_store_in_trouble_is_exit_code_1(jetmail: CommandLine) -> None:
    """A damaged store is told in one line, without a traceback."""
    (jetmail.directory / "var" / "jetmail.db").write_bytes(b"not a database at all" * 300)
    jetmail.run("queue", "list")
    assert jetmail.code == 1 and jetmail.err.startswith("jetmail: store: ") and jetmail.err.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`jetmail config show | head -1` is cut short without a word, and has done what it should."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    err = io.StringIO()
    assert main(["init", str(tmp_path / "one")], io.StringIO(), err) == 0
    with pytest.raises(BrokenPipeError):
        main(["--dir", str(tmp_path / "one"), "config", "show"], Closed(), err)
    assert err.getvalue() == ""
