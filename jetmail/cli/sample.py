"""etc/jetmail.toml, etc/scores.toml and the pages docs/configuration.md, docs/cli.md and docs/findings.md, made from what declares them:
jetmail/config.py, the commands and the rules themselves.

    python -m jetmail.cli.sample        writes all of them, in a checkout

A test compares the files with what this makes, so no setting and no option is ever without its explanation.
"""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jetmail import config, resources
from jetmail.rules import registry
from jetmail.rules.symbols import Symbol

_DOCS_HEAD = """\
# Settings

`etc/jetmail.toml` of a jetmail directory. `jetmail init` writes one with every setting commented out; a setting that is not given has the default
below. Unknown keys are refused, and every fault is listed at once (`jetmail check`). `jetmail config show` prints what is in force.

Paths are relative to the directory that holds `etc/` and `var/`. Sizes are octets, times seconds.
"""

_SCORES_HEAD = """\
# Weights of findings. Each symbol stands here with the weight it has when nothing is said; take the # away to change one (-100 to 100; 0 keeps the
# finding and takes it out of the sum). docs/findings.md explains how they add up. Read when jetmail starts.

[scores]
"""

_FINDINGS_HEAD = """\
# Findings

What the filter may find in a message, what each finding weighs, and the sentence people read when they ask why. The sum of all findings is held
against the thresholds of the recipient's domain ([rules.md](rules.md)): 4 and a stranger comes back later, 6 and it is spam, 15 and it is
refused. Weights are changed in `etc/scores.toml`.

How they are meant to add up:

- One sign is never proof, but for a program in an attachment. Weights under 1 are what honest mail does too; 2 and more is what it hardly ever
  does.
- Many signs of one kind are still one kind: each rule has a bound (`most` in `etc/rules.toml`), and where its findings pass it each counts for
  less. So the words of a text alone, or its links alone, never make spam. A weight set above the bound stands.
- What means little alone and much together has a symbol of its own (Deceit).
- One odd link among many hosts counts for less, and so does a theme in a long text: digests and newsletters quote all sorts.
- Mailing lists rewrite From and Reply-To: on mail that says it comes from one, those differences are not counted.
- Rules that look at content read the message once, in time that grows with its length only; what is nested, packed or repeated past a bound is a
  finding itself.

The lists behind them are in `etc/maps/`, and a file of that name in an appliance's own `etc/maps/` comes in place of the shipped one:
`brands.toml` (names strangers like to wear, and whose domains may), `places.toml` (free mail, shorteners, hosting anybody can have, redirectors,
risky suffixes), `wording.toml` (expressions by theme, in several languages).
"""

_CLI_HEAD = """\
# Command line

`bin/jetmail [--dir DIR] COMMAND ...` in a checkout, `jetmail ...` where it is installed. `--help` after any command says the same as this page.

- **Directory**: `--dir DIR`, else `$JETMAIL_DIR`, else `./var/jetmail`, else the current directory when it has an `etc/jetmail.toml`.
- **`--json`**: one object a line on standard output and nothing else; keys are the columns, times are epoch seconds, sizes octets.
- **Exit codes**: 0 done, 1 failed or not found, 2 the command line or the settings make no sense and nothing was done, 3 `check` found problems,
  130 interrupted.
- **Errors** go to standard error, one a line: `jetmail: field: reason`.
- **Tables** are cut to the width of a terminal; in a pipe nothing is cut.
- Commands work on the store, whether jetmail runs or not. One that changes something sends a running jetmail a nudge, so it acts at once.
- Commands that destroy ask first on a terminal; `--yes` answers, and without a terminal nobody is asked.
"""


def markdown() -> str:
    """docs/configuration.md."""
    parts = [_DOCS_HEAD]
    for section in config.SECTIONS:
        name, about = _about(section)
        parts.append(
            f"## {'[[listener]]' if section is config.Listener else f'[{name}]'}\n\n{about}\n\n| setting | default | what it does |\n|---|---|---|"
        )
        parts.append(
            "\n".join(f"| `{field.name}` | `{_value(field.default)}` | {_sentence(field, section)} |" for field in dataclasses.fields(section)) + "\n"
        )
    return "\n".join(parts).replace("|---|---|---|\n\n", "|---|---|---|\n")


def _about(section: type) -> tuple[str, str]:
    name, _, about = (section.__doc__ or "").strip().partition(" ")
    return name.strip("[]"), about


def _sentence(field: dataclasses.Field, section: type) -> str:
    text = field.metadata["text"]
    low, high = field.metadata["low"], field.metadata["high"]
    choices = typing.get_args(typing.get_type_hints(section)[field.name]) if "Literal" in str(field.type) else ()
    if choices:
        text += "; one of " + ", ".join(f'"{choice}"' for choice in choices)
    elif low is not None and high is not None:
        text += f" ({_number(low)} to {_number(high)})"
    elif low is not None:
        text += f" (at least {_number(low)})"
    return text


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return _number(value)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) and value != int(value) else str(int(value))


def commands() -> str:
    """docs/cli.md."""
    from jetmail.cli.main import build_parser

    parser = build_parser()
    parts = [_CLI_HEAD]
    for name, command in leaves(parser):
        lines = (command.epilog or "").strip().splitlines()[1:]
        about = (command.description or "").strip()
        parts.append(f"## {name}\n\n{about}\n\n```sh\n" + "\n".join(line.strip() for line in lines) + "\n```\n")
        options = [action for action in command._actions if action.dest not in ("help", "json")]
        if options:
            parts.append("| argument | |\n|---|---|\n" + "\n".join(f"| `{_spelled(action)}` | {_told(action)} |" for action in options) + "\n")
    return "\n".join(parts)


def leaves(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with its full name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                if any(isinstance(inner, argparse._SubParsersAction) for inner in command._actions):
                    yield from leaves(command, f"{prefix}{name} ")
                else:
                    yield prefix + name, command


def _spelled(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else (action.dest.upper() if action.nargs != 0 else "")
    if action.choices is not None and not isinstance(action.metavar, str):
        value = "/".join(str(choice) for choice in action.choices)
    if not action.option_strings:
        return value + (" ..." if action.nargs in ("*", "+") else "")
    return f"{action.option_strings[-1]} {value}".strip()


def _told(action: argparse.Action) -> str:
    return (action.help or "").replace("|", "\\|") + ("; required" if action.required and action.option_strings else "")


def _symbols() -> dict[str, list[Symbol]]:
    """Every symbol of the shipped chain, by its group."""
    groups: dict[str, list[Symbol]] = {}
    for symbol in registry.load(resources.defaults() / "rules.toml").symbols:
        groups.setdefault(symbol.group, []).append(symbol)
    return dict(sorted(groups.items()))


def scores() -> str:
    """etc/scores.toml."""
    parts = [_SCORES_HEAD]
    for group, declared in _symbols().items():
        lines = [f"# {symbol.word} = {symbol.score:g}  # {symbol.text}" for symbol in sorted(declared, key=lambda each: each.word)]
        parts.append(f"# {group}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def findings() -> str:
    """docs/findings.md."""
    parts = [_FINDINGS_HEAD]
    for group, declared in _symbols().items():
        rows = [f"| `{symbol.word}` | {symbol.score:g} | {symbol.text} |" for symbol in sorted(declared, key=lambda each: each.word)]
        parts.append(f"## {group}\n\n| symbol | weight | what it says |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


FILES: dict[str, Callable[[], str]] = {
    "etc/jetmail.toml": config.example,
    "etc/scores.toml": scores,
    "docs/configuration.md": markdown,
    "docs/cli.md": commands,
    "docs/findings.md": findings,
}

if __name__ == "__main__":
    for file, make in FILES.items():
        (Path(__file__).resolve().parent.parent.parent / file).write_text(make(), "utf-8")
