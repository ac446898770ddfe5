"""ARC: the validation suite, the signing suite's seals, chains of our own, and what must break them."""

from __future__ import annotations

from typing import Any

import dkim as oracle
import pytest
import yaml

from jetmail.interfaces import AnswerKind
from jetmail.mail.message import Message
from jetmail.mailauth import arc
from jetmail.mailauth.arc import Arc, ArcResult
from jetmail.mailauth.canonical import hash_bodies
from tests import fixtures
from tests.fakes import FakeResolver
from tests.mailauth.samples import NOW, TEXT, done, mail, pem, signer, zone


def suite(name: str) -> list[Any]:
    """Every case of one file of the suite with its zone."""
    try:
        path = fixtures.folder("03_auth") / "arc" / name
    except pytest.skip.Exception as missing:
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=str(missing)))]
    sections = list(yaml.safe_load_all(path.read_text("utf-8")))
    return [pytest.param(section["txt-records"], case, id=key) for section in sections for key, case in section["tests"].items()]


def zone_of(records: dict[str, str]) -> dict[tuple[str, str], Any]:
    return {(name, "TXT"): [str(value).encode()] for name, value in records.items()}


def unfolded(value: str) -> str:
    """The field as it was when it was signed: lines that end a tag have a space between them, those of base64 have none."""
    return "".join(line + " " if line.rstrip().endswith(";") else line for line in value.splitlines()).strip()


def state(records: dict[tuple[str, str], Any], message: Message) -> Arc:
    found: Arc = done(arc.verify_message(FakeResolver(records), message.fields, message.body_chunks))
    return found


@pytest.mark.parametrize(("records", "case"), suite("arc-validation-half.yml"))
def test_validation_suite(records: dict[str, str], case: dict[str, Any]) -> None:
    """The chain is in the state the case names; where it names none, the chain says itself that it has failed."""
    found = state(zone_of(records), mail(case["message"].encode()))
    wanted = str(case.get("cv") or "fail").lower()
    assert found.result.value == wanted, found


@pytest.mark.parametrize(("records", "case"), suite("arc-sign-tests.yml"))
def test_signing_suite(records: dict[str, str], case: dict[str, Any]) -> None:
    """A message with the set the suite says a sealer must make on top is a chain that holds, or one that has failed where its seal says so."""
    fields = "".join(
        f"{name}: {unfolded(case[key])}\n"
        for name, key in (("ARC-Seal", "AS"), ("ARC-Message-Signature", "AMS"), ("ARC-Authentication-Results", "AAR"))
    )
    found = state(zone_of(records), mail((fields + case["message"]).encode()))
    assert found.result is (ArcResult.FAIL if "cv=fail" in case["AS"] else ArcResult.PASS), found


def chain(count: int, text: bytes = TEXT) -> bytes:
    """A message that has passed `count` sealers."""
    for place in range(count):
        message = Message(text)
        before = state(zone(signer(domain="one.test"), signer(domain="two.test")), message)
        who = signer(domain="one.test" if place % 2 == 0 else "two.test")
        digest, _ = hash_bodies(message.body_chunks(), [arc.ALL])[arc.ALL]
        text = b"".join(arc.seal(who, message.fields, before, digest, b"relay.test; dmarc=pass", NOW)) + text
    return text


ZONE = zone(signer(domain="one.test"), signer(domain="two.test"))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_our_chain_holds(count: int) -> None:
    """A chain of our seals passes, names its sealers in order, and may go on."""
    found = state(ZONE, Message(chain(count)))
    assert (found.result, found.count, found.can_seal) == (ArcResult.PASS, count, True)
    assert [link.sealer for link in found.links] == ["one.test", "two.test", "one.test", "two.test", "one.test"][:count]


@pytest.mark.parametrize("count", [1, 3])
def test_another_verifies_our_chain(count: int) -> None:
    """dkimpy finds our chains valid."""
    record = signer().record().encode()
    assert oracle.arc_verify(chain(count), dnsfunc=lambda name, timeout=5: record)[0] == b"pass"


def test_we_verify_anothers_chain() -> None:
    """A chain that dkimpy made is valid here, and goes on with a seal of ours."""
    text = b"Authentication-Results: relay.test; spf=pass smtp.mailfrom=a@example.org\r\n" + TEXT
    fields = oracle.arc_sign(text, b"s1", b"one.test", pem("rsa"), b"relay.test", include_headers=[b"from", b"to", b"subject"], timestamp=int(NOW))
    theirs = b"".join(field.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for field in fields) + text
    assert state(ZONE, Message(theirs)).result is ArcResult.PASS
    assert state(ZONE, Message(chain(1, theirs))).count == 2


def test_what_breaks_a_chain() -> None:
    """A changed body, a changed result, a seal taken out or put in twice: the chain fails, and says where."""
    text = chain(2)
    fields = Message(text).fields
    for broken, told in (
        (text.replace(b"this is it", b"this was it"), "message signature 2"),
        (text.replace(b"i=1; relay.test; dmarc=pass", b"i=1; relay.test; dmarc=fail"), "seal"),
        (b"".join(raw for _, raw in fields[3:]) + b"\r\nbody", "message signature 1"),
        (b"".join(raw for _, raw in fields[1:]) + b"\r\n", "a set is not whole"),
        (fields[0][1] + text, "two fields arc-seal in one place"),
        (text.replace(b"cv=pass", b"cv=none"), "seal 2 says cv=none"),
    ):
        found = state(ZONE, Message(broken))
        assert found.result is ArcResult.FAIL
        assert told in found.reason
        assert not found.links


def test_failed_chain_is_said_once() -> None:
    """A chain that broke is sealed once more as failed, and then no more."""
    broken = chain(1).replace(b"this is it", b"this was it")
    twice = chain(1, broken)
    assert b"cv=fail" in twice
    assert chain(1, twice) == twice


def test_trouble_is_no_fail() -> None:
    """A key that DNS does not give now is temperror, and nothing to seal on."""
    text = chain(1)
    found = state({("s1._domainkey.one.test", "TXT"): AnswerKind.TIMEOUT}, Message(text))
    assert (found.result, found.can_seal) == (ArcResult.TEMPERROR, False)


def test_endless_chain() -> None:
    """More than fifty sets are a failed chain, and are not continued."""
    text = b"".join(b"ARC-Seal: i=%d; cv=pass\r\n" % place for place in range(1, 300)) + TEXT
    found = state({}, Message(text))
    assert (found.result, found.can_seal) == (ArcResult.FAIL, False)
