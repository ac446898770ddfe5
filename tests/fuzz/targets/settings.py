"""What the sysadmin writes: etc/jetmail.toml and etc/rules.toml. Mistakes are named, all of them, and nothing else happens."""

from __future__ import annotations

import re
import tempfile
import tomllib
from functools import cache
from pathlib import Path

from jetmail import config
from jetmail.errors import ConfigError
from jetmail.outbound import providers
from jetmail.rules import registry, symbols
from tests.fuzz.target import target
from tests.inbound.receiving import ROOT


@cache
def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="fuzz-config-"))
    (made / "etc").mkdir()
    return made / "etc"


def _settings() -> list[bytes]:
    text = config.example()
    bare = re.sub(r"^# ([a-z_]+ = )", r"\1", text, flags=re.MULTILINE)
    sections = ["[" + part for part in bare.split("\n[")[1:]]
    return [text.encode(), *(part.encode() for part in sections), b'[[listener]]\nname = "a"\nkind = "mx"\nport = 25\nproxy_from = ["10.0.0.0/8"]\n']


@target(
    "config",
    _settings,
    b"[",
    b"]",
    b"[[listener]]\n",
    b" = ",
    b'""',
    b"true",
    b"-1",
    b"1e400",
    b"inf",
    b"nan",
    b"[]",
    b"{}",
    b'"""',
    b"0x",
    b"1979-05-27",
    b"\\u0000",
    b"'",
    b"port = ",
    b'kind = "mx"\n',
    seconds_per_100k=3.0,  # tomllib, in Python
)
def settings(octets: bytes) -> None:
    """Any file: ConfigError naming keys and reasons, or a Config that can be shown."""
    file = _folder() / "jetmail.toml"
    file.write_bytes(octets[:300_000])
    try:
        found = config.load(file)
    except ConfigError as error:
        assert str(error)
        return
    assert config.effective(found)


@cache
def _classes() -> frozenset[str]:
    return frozenset(re.findall(r'class = "([^"]+)"', (ROOT / "etc/rules.toml").read_text("utf-8"))) | {"None", "jetmail.rules.rule.Nothing", "x"}


def _rules() -> list[bytes]:
    text = (ROOT / "etc/rules.toml").read_text("utf-8")
    return [text.encode(), *(("[[rule]]" + part).encode() for part in text.split("[[rule]]")[1:])]


@target(
    "rules-file",
    _rules,
    b"[[rule]]\n",
    b"options = {",
    b"}",
    b"after = [",
    b"]",
    b"timeout = ",
    b'on_error = "skip"',
    b"-1",
    b"1e400",
    b"nan",
    b"name = ",
    b'""',
    b"enabled = true",
    b"[",
    b"zones = [{}]",
    seconds_per_100k=3.0,  # tomllib, in Python
)
def rules(octets: bytes) -> None:
    """Any chain of shipped classes: ConfigError naming every problem, or a chain that can be described."""
    text = octets[:100_000].decode("utf-8", "replace")
    try:
        named = {str(table.get("class")) for table in tomllib.loads(text).get("rule", ())}
    except (AttributeError, TypeError, ValueError, RecursionError):
        named = set()  # no table of rules: nothing is imported
    if not named <= _classes():
        return  # no other classes are imported because an accident spelt their names
    try:
        chain = registry.parse(text)
    except ConfigError as error:
        assert str(error)
        return
    assert chain.describe()


@target(
    "providers-file",
    lambda: [(ROOT / "etc/providers.toml").read_bytes(), b'[[provider]]\nname = "x"\nmx = ["x.test"]\npauses = [1]\n'],
    b"[default]\n",
    b"[[provider]]\n",
    b"name = ",
    b"mx = [",
    b"throttle = ['(']",
    b"pauses = []",
    b"nan",
    b"1e400",
    b"9" * 400,
    seconds_per_100k=3.0,  # tomllib, in Python
)
def presets(octets: bytes) -> None:
    """Any file of presets: ConfigError, or terms within their bounds."""
    file = _folder() / "providers.toml"
    file.write_bytes(octets[:200_000])
    try:
        found = providers.load(file)
    except ConfigError as error:
        assert str(error)
        return
    assert all(1 <= preset.terms.burst <= preset.terms.of and preset.terms.pauses for preset in (found.default, found.relay, *found.named.values()))


@target(
    "scores-file",
    lambda: [(ROOT / "etc/scores.toml").read_bytes(), b"[scores]\nSPF_FAIL = 4.5\nGTUBE = -1\n"],
    b"[scores]\n",
    b" = ",
    b"inf",
    b"nan",
    b"1e400",
    b"true",
    b'"x"',
    b"SPF_FAIL",
    b"9" * 400,
    seconds_per_100k=3.0,  # tomllib, in Python
)
def scores(octets: bytes) -> None:
    """Any file of weights: ConfigError, or weights within the bounds."""
    file = _folder() / "scores.toml"
    file.write_bytes(octets[:200_000])
    try:
        found = symbols.load(file, _declared())
    except ConfigError as error:
        assert str(error)
        return
    assert all(abs(weight) <= symbols.MAX_SCORE for _, weight in found.listing())


@cache
def _declared() -> tuple[symbols.Symbol, ...]:
    return registry.load(ROOT / "etc/rules.toml").symbols
