"""etc/jetmail.toml, docs/configuration.md and docs/cli.md, made from what declares them: jetmail/config.py and the commands themselves.

    python -m jetmail.cli.sample        writes all three, in a checkout

A test compares the files with what this makes, so no setting and no option is ever without its explanation.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
import typing
from typing import Any

from jetmail import config

WIDTH = 118

_HEAD = """\
# jetmail's settings. Every setting is here, commented out, with its default: take the # away to change one.
# Paths are relative to the directory that holds etc/ and var/. Domains, recipients, aliases and rules are not settings: they are in the store
# (jetmail domain add ...). Check what you wrote with `jetmail check`, see what is in force with `jetmail config show`.
"""
_LISTENERS = """\
# Without any [[listener]] jetmail listens on the ports 25 (mx), 587 (submission) and 465 (submissions) of every address.
# The first one written here replaces all three. Ports below 1024 need a start as root (with `user` in [server]) or systemd's sockets.
"""


def toml() -> str:
    """etc/jetmail.toml."""
    parts = [_HEAD]
    for section in config.SECTIONS:
        name, about = _about(section)
        lines = [_LISTENERS.rstrip(), "", f"# [[{name}]]"] if section is config.Listener else [f"# {about}", f"[{name}]"]
        for field in dataclasses.fields(section):
            lines.append("")
            lines += [f"# {line}" for line in textwrap.wrap(_sentence(field, section), WIDTH)]
            lines.append(f"# {field.name} = {_value(field.default)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def markdown() -> str:
    """docs/configuration.md."""
    parts = [
        "# Settings\n\n`etc/jetmail.toml` of a jetmail directory. `jetmail init` writes one with every setting commented out; a setting that is not given"
        " has the default below.\nUnknown keys are refused, and every fault is listed at once (`jetmail check`). `jetmail config show` prints what is in force.\n\n"
        "Paths are relative to the directory that holds `etc/` and `var/`. Sizes are octets, times seconds.\n"
    ]
    for section in config.SECTIONS:
        name, about = _about(section)
        parts.append(f"## {'[[listener]]' if section is config.Listener else f'[{name}]'}\n\n{about}\n\n| setting | default | what it does |\n|---|---|---|")
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


if __name__ == "__main__":
    print(markdown() if sys.argv[1:] == ["docs"] else toml(), end="")
