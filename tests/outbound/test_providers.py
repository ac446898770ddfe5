"""etc/providers.toml: what may stand in it, what is wrong with it, and which replies ask to slow down."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail import resources
from jetmail.errors import ConfigError
from jetmail.mail.reply import Reply
from jetmail.outbound import providers
from jetmail.outbound.providers import Preset, Provider, Providers, Relay, Terms

SHIPPED = resources.defaults() / providers.FILE_NAME


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        providers.parse(tomllib.loads(text))
    return caught.value.problems


def test_shipped() -> None:
    """The shipped file is right, has the providers people meet, and its shown defaults are the defaults."""
    shipped = providers.load(SHIPPED)
    assert {"gmail", "outlook", "microsoft365", "yahoo", "icloud", "comcast", "gmx", "orange", "proofpoint", "mimecast"} <= set(shipped.named)
    assert (shipped.default.terms, shipped.relay.terms) == (Terms(), Relay())
    commented = "\n".join(line.removeprefix("# ") for line in SHIPPED.read_text("utf-8").splitlines() if _is_setting(line))
    sections = commented.split("[relay]")
    assert providers.parse(tomllib.loads(sections[0].split("[[provider]]")[0])).default.terms == Terms()
    assert providers.parse(tomllib.loads("[relay]" + sections[1].split("[[provider]]")[0])).relay.terms == Relay()


def _is_setting(line: str) -> bool:
    return line.startswith(("[", "#     '", "# ]")) or (line.startswith("# ") and " = " in line and line[2:].split(" = ")[0].isidentifier())


def test_every_setting_is_explained() -> None:
    """Each setting's sentence stands in the shipped file."""
    text = SHIPPED.read_text("utf-8")
    for name, sentence in providers.listing():
        assert name in text and sentence in text, name


@pytest.mark.parametrize(
    "host, name",
    [
        ("aspmx.l.google.com", "gmail"),
        ("contoso-com.mail.protection.outlook.com", "microsoft365"),
        ("hotmail-com.olc.protection.outlook.com", "outlook"),
        ("contoso-com.a-v1.mx.microsoft", "microsoft365"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "icloud"),
        ("mx-ha.web.de", "gmx"),
        ("smtp-in.orange.fr", "orange"),
        ("mxa-00169c01.gslb.pphosted.com", "proofpoint"),
        ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
    ],
)
def test_hosts(host: str, name: str) -> None:
    """The mail hosts of well-known providers are theirs."""
    found = providers.load(SHIPPED).of_host(host)
    assert found is not None and found.name == name


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is one without providers."""
    assert providers.load(tmp_path / "providers.toml").named == {}


def test_inherits() -> None:
    """A provider has what [default] says where it says nothing; [relay] has not."""
    made = providers.parse(tomllib.loads('[default]\nburst = 3\nper_minute = 60\n[[provider]]\nname = "x"\nmx = ["x.test"]\nper_minute = 6\n'))
    assert (made.named["x"].terms.burst, made.named["x"].terms.per_minute, made.relay.terms.per_minute) == (3, 6.0, 0.0)


def test_all_problems_at_once() -> None:
    """Every fault is listed with its place and its reason."""
    found = problems(
        """
        [other]
        [default]
        connections = -1
        speed = 3
        throttle = ["(", 5]
        [relay]
        burst = 30
        pauses = []
        [[provider]]
        name = "Big Mail"
        mx = ["test"]
        [[provider]]
        name = "x"
        per_minute = "fast"
        [[provider]]
        name = "y"
        mx = ["y.test"]
        [[provider]]
        name = "y"
        mx = ["y.test"]
        [[provider]]
        name = "z"
        """
    )
    text = "\n".join(found)
    for fault in (
        "providers.toml: other: unknown section",
        "default: connections: -1 is not between 0 and 1000",
        "default: speed: unknown setting",
        "relay: burst: must not be more than `of` (20)",
        "relay: pauses: needs 1 to 20 entries",
        "provider 'Big Mail': name: must be",
        "provider 'Big Mail': mx[0]: 'test' is not a name of two labels",
        "provider 'x': per_minute: must be a number",
        "provider 'y': name: is used twice",
        "provider 'y': mx[0]: 'y.test' is provider 'y' already",
        "provider 'z': mx: says nothing",
    ):
        assert fault in text, f"{fault}\n---\n{text}"


@pytest.mark.parametrize(
    "text, reason",
    [
        ('[default]\nthrottle = ["("]', "throttle[0]: is not a regular expression"),
        (f'[default]\nignore = ["{"x" * 301}"]', "ignore[0]: must have 1 to 300 characters"),
        ("[default]\nthrottle = [" + '"x", ' * 51 + "]", "throttle: at most 50 expressions"),
        ("default = 5", "default: must be a table of settings"),
        ("[provider]\nname = 'x'", "provider: must be written [[provider]]"),
        ("provider = [1]", "provider[0]: must be a table of settings"),
        ("[default]\nper_minute = nan", "per_minute: must be a number"),
    ],
)
def test_nonsense(text: str, reason: str) -> None:
    """What makes no sense is refused with its reason."""
    assert any(reason in problem for problem in problems(text)), problems(text)


def test_broken_file(tmp_path: Path) -> None:
    """A file that is no TOML is one problem with its place."""
    (tmp_path / "providers.toml").write_text("[default\n")
    with pytest.raises(ConfigError) as caught:
        providers.load(tmp_path / "providers.toml")
    assert caught.value.problems[0].startswith("providers.toml: ")


@pytest.mark.parametrize(
    "reply, is_throttled",
    [
        ("421 4.7.28 Gmail has detected an unusual rate of mail", True),
        ("421 too busy", True),
        ("421 4.4.2 idle too long", False),
        ("450 4.2.1 The user you are trying to contact is receiving mail too quickly", False),
        ("451 4.7.500 Server busy. Please try again later", True),
        ("451 4.7.1 Greylisted, come back in five minutes", False),
        ("450 4.7.1 client rate limit exceeded", True),
        ("450 slow down please", True),
        ("451 4.7.5 certificate verification failed", False),
        ("452 4.2.2 mailbox over quota: rate limit", False),
        ("451 4.3.0 not now", False),
        ("550 5.7.1 rate limit", False),
        ("250 2.0.0 too many thanks", False),
    ],
)
def test_throttles(reply: str, is_throttled: bool) -> None:
    """421, 4.7.x and what says so ask to slow down; greylisting, full mailboxes, TLS and final answers do not."""
    code, _, text = reply.partition(" ")
    assert Preset(Terms()).throttles(Reply.parse(int(code), [text])) is is_throttled


@given(st.integers(200, 599), st.text(max_size=2000))
def test_total(code: int, text: str) -> None:
    """Whatever a peer says is answered."""
    assert Preset(Terms()).throttles(Reply.parse(code, text.split("\n"))) in (True, False)


def test_longest_suffix() -> None:
    """The longest suffix that fits decides."""
    made = Providers(providers=(Provider(name="a", mx=("b.test",)), Provider(name="c", mx=("d.b.test",))))
    names = [found.name if (found := made.of_host(host)) else "" for host in ("x.b.test", "x.d.b.test", "xb.test", "test", "")]
    assert names == ["a", "c", "", "", ""]
