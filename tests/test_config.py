"""The settings file: defaults, bounds, unknown keys, and every fault at once."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from jetmail import config as configuration
from jetmail import wiring
from jetmail.config import Config, effective, load, parse, split_host_port
from jetmail.errors import ConfigError
from jetmail.rules import registry, symbols

ROOT = Path(__file__).parent.parent
FILE = Path("/srv/jetmail/etc/jetmail.toml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text), FILE)
    return caught.value.problems


def test_empty_file_is_complete() -> None:
    """Defaults alone make a working configuration on the three usual ports."""
    made = parse({}, FILE)
    assert [each.port for each in made.listeners] == [25, 587, 465]
    assert made.database == Path("/srv/jetmail/var/jetmail.db")
    assert made.queue.lifetime == 5 * 86_400


def test_postmaster() -> None:
    """Nobody unless an address is given, which is read as every address is."""
    assert wiring.postmaster(parse({}, FILE)) is None
    assert str(wiring.postmaster(parse({"server": {"postmaster": "Ann@Us.test"}}, FILE))) == "Ann@us.test"


def test_every_fault_at_once() -> None:
    """Type, bound, unknown key, unknown section and unknown word are all named in one go."""
    found = problems(
        '[smtp]\nmax_errors = "x"\nfoo = 1\n[dns]\ncache_entries = 5\n[[listener]]\nkind = "bad"\n'
        '[queue]\nretries = [1, "a"]\n[zzz]\na = 1\n[web]\naddress = "0.0.0.0"\n'
    )
    for words in (
        "smtp.max_errors: must be a whole number",
        "smtp.foo: unknown setting",
        "dns.cache_entries: 5 is not between",
        "listener[0].kind: must be one of mx",
        "queue.retries[1]: must be a number",
        "zzz: unknown section",
        "web.address: must be a loopback",
    ):
        assert any(words in problem for problem in found), (words, found)


@pytest.mark.parametrize("path", sorted((ROOT / "tests/badconfigs").glob("jetmail-*.toml")), ids=lambda path: path.stem)
def test_bad_configs(path: Path) -> None:
    """Each file of badconfigs is refused with the words of its first line."""
    words = path.read_text().splitlines()[0].removeprefix("# expect: ")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)


def test_missing_and_malformed_file(tmp_path: Path) -> None:
    """A file that is absent, not TOML or not UTF-8 is named with the reason."""
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "none.toml")
    for octets in (b"[smtp\n", b"\xff\xfe"):
        (tmp_path / "x.toml").write_bytes(octets)
        with pytest.raises(ConfigError, match=r"x\.toml"):
            load(tmp_path / "x.toml")


def test_every_setting_is_explained_in_etc() -> None:
    """etc/jetmail.toml is the declarations' own text, and with every comment taken away it is valid and says what is the default anyway."""
    text = (ROOT / "etc/jetmail.toml").read_text()
    assert text == configuration.example()
    lines = [line for line in text.splitlines() if line.startswith(("[", "# [[")) or (" = " in line and line.split(" ")[1].isidentifier())]
    live = "\n".join(line.removeprefix("# ") for line in lines)
    assert effective(parse(tomllib.loads(live), FILE))[:9] == effective(parse({}, FILE))[:9]
    shown = tomllib.loads(live)
    for section in configuration.SECTIONS:
        name = section.__name__.lower()
        table = shown[name][0] if name == "listener" else shown[name]
        assert {field.name for field in dataclasses.fields(section)} == set(table), name


def test_effective_masks_secrets_and_is_complete() -> None:
    """Every declared setting is printed."""
    shown = dict(effective(Config(Path("/x"), FILE)))
    assert shown["smtp.max_recipients"] == "200"
    one_each = sum(len(dataclasses.fields(section)) for section in configuration.SECTIONS)
    assert len(shown) == one_each + 2 * len(dataclasses.fields(configuration.Listener))


def test_host_port() -> None:
    """Names, IPv4, bracketed IPv6; anything else says what it must be."""
    assert split_host_port("Mail.Example.test:25") == ("mail.example.test", 25)
    assert split_host_port("[2001:db8::1]:2525") == ("2001:db8::1", 2525)
    for text in ("mail", "mail:0", "mail:99999", "2001:db8::1:25", "-x:25", "a b:25", ":25", "mail:२५"):
        with pytest.raises(ValueError):
            split_host_port(text)


@pytest.mark.parametrize("text", ["a = " + "9" * 5_000, "a = " + "[" * 5_000, "a = " + "{ b = " * 3_000], ids=["digits", "lists", "tables"])
@pytest.mark.parametrize("read", [configuration.load, registry.load, lambda file: symbols.load(file, ())], ids=["settings", "rules", "scores"])
def test_what_the_parser_of_toml_gives_up_on(read: Callable[[Path], object], text: str, tmp_path: Path) -> None:
    """A file that makes tomllib fail in its own ways is a ConfigError that names the file, like any other."""
    file = tmp_path / "some.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="some.toml"):
        read(file)


def test_hosts_as_a_browser_says_them() -> None:
    """Names of the site in any case, a final dot and IPv6 included, are compared with what a browser sends."""
    made = parse({"web": {"hosts": ["Mail.Us.test.", "192.0.2.1", "2001:DB8::1"]}}, FILE)
    assert wiring.web_options(made).hosts == ("mail.us.test", "192.0.2.1", "2001:db8::1")


def test_bdat_can_be_asked_for() -> None:
    """Content goes by DATA unless the settings say otherwise, and what they say reaches the deliverer."""
    for text, is_bdat in (("", False), ("[delivery]\nbdat = true", True)):
        assert wiring.delivery_options(parse(tomllib.loads(text), FILE), "mx.example.org").bdat is is_bdat
