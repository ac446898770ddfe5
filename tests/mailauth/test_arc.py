"""ARC: the validation suite, the signing suite's seals, chains of our own, and what must break them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from jetmail.interfaces import AnswerKind
from jetmail.mail.message import Message
from jetmail.mailauth import arc
from jetmail.mailauth.arc import Arc, ArcResult
from jetmail.mailauth.canonical import hash_bodies
from tests import fixtures
from tests.fakes import FakeResolver
from tests.mailauth.samples import NOW, TEXT, done, mail, signer, zone


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
        f"{name}: {unfolded(case[key])}\n" for name, key in (("ARC-Seal", "AS"), ("ARC-Message-Signature", "AMS"), ("ARC-Authentication-Results", "AAR"))
    )
    found = state(zone_of(records), mail((fields + case["message"]).encode()))
    assert found.result is (ArcResult.FAIL if "cv=fail" in case["AS"] else ArcResult.PASS), found
