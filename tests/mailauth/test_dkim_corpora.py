"""DKIM: the messages of Mail::DKIM and chasquid. What an old message may not pass today is named with the reason (docs/authentication.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jetmail.interfaces import AnswerKind
from jetmail.mailauth import dkim
from jetmail.mailauth.canonical import HeaderForms, hash_bodies
from jetmail.mailauth.dkim import Dkim, DkimResult, Limits
from tests import fixtures
from tests.fakes import FakeResolver
from tests.mailauth.samples import done, mail

SHA1, VERSION, NO_VERSION = "rsa-sha1 proves nothing (RFC 8301)", "signature is of another version", "no v="
# Good by the drafts and the cryptography of their day: RFC 6376 3.5 wants v=1, RFC 8301 3.1 forbids SHA-1. docs/authentication.md has this list too.
OUTDATED = {
    "good_1878523": SHA1, "good_83176": SHA1, "good_ietf01_1": NO_VERSION, "good_ietf01_2": NO_VERSION, "good_qp_1": SHA1, "good_qp_2": SHA1,
    "good_qp_3": SHA1, "good_rfc4871_3": SHA1, "good_rfc4871_4": SHA1, "goodkey_1": SHA1, "goodkey_2": SHA1, "goodkey_3": SHA1, "goodkey_4": SHA1,
    "mine_ietf01_1": NO_VERSION, "mine_ietf01_2": NO_VERSION, "mine_ietf01_3": NO_VERSION, "mine_ietf01_4": NO_VERSION, "mine_ietf05_1": VERSION,
    "multiple_1": NO_VERSION, "multiple_2": SHA1, "no_body_1": VERSION, "no_body_2": VERSION, "no_body_3": VERSION,
}  # fmt: skip


def cases(folder: str, pattern: str) -> list[Any]:
    """The files of a corpus, or one skip that says it is absent."""
    try:
        place = fixtures.folder("03_auth") / folder
    except pytest.skip.Exception as missing:
        return [pytest.param(None, marks=pytest.mark.skip(reason=str(missing)))]
    return [
        pytest.param(path, id=path.name)
        for path in sorted(place.glob(pattern))
        if path.suffix in (".txt", ".msg", ".dns") and "dk_" not in path.stem and "ietf00" not in path.stem
        if path.suffix != ".dns" or not path.with_suffix(".msg").exists()
    ]


def mail_dkim_zone(place: Path) -> dict[tuple[str, str], Any]:
    zone: dict[tuple[str, str], Any] = {}
    for line in (place / "FAKE_DNS.dat").read_text().splitlines():
        name, _, value = line.strip().partition(" ")
        value = value.strip()
        if not name or name.startswith("#"):
            continue
        special = {"NXDOMAIN": AnswerKind.NXDOMAIN, "~~Query timed out~~": AnswerKind.TIMEOUT, "~~SERVFAIL~~": AnswerKind.SERVFAIL}
        zone[name, "TXT"] = special.get(value) or [value.strip('"').encode()]
    return zone


def verified(path: Path, zone: dict[tuple[str, str], Any], limits: Limits) -> list[Dkim]:
    message = mail(path.read_bytes())
    found: list[Dkim] = done(dkim.verify_message(FakeResolver(zone), message.fields, message.body_chunks, 1_200_000_000.0, limits))
    return found


@pytest.mark.parametrize("path", cases("dkim_mail_dkim/corpus", "*.txt"))
def test_mail_dkim(path: Path) -> None:
    """A good message passes, unless for a reason that is on the list of what is outdated; a bad one, or one to be ignored, never passes."""
    found = verified(path, mail_dkim_zone(path.parent.parent), Limits(min_bits=512))
    results = {each.result for each in found}
    if path.stem in OUTDATED:
        assert OUTDATED[path.stem] in {each.reason for each in found}
        assert DkimResult.PASS not in results
    elif path.stem.startswith("good"):
        assert results == {DkimResult.PASS}
    else:
        assert found
        assert not results & {DkimResult.PASS, DkimResult.TEMPERROR}
        assert all(each.reason for each in found)


@pytest.mark.parametrize("path", cases("dkim_mail_dkim/corpus", "*_ietf01_*.txt"))
def test_outdated_by_version_only(path: Path) -> None:
    """What only lacks v=1 has its canonical form, body hash and signature judged right all the same: good ones hold, bad ones do not."""
    message = mail(path.read_bytes())
    raws = [raw for name, raw in message.fields if name == b"dkim-signature" and b"rsa-sha256" in raw]
    signatures = [dkim.read_field(raw, is_arc=True) for raw in raws]
    bodies = hash_bodies(message.body_chunks(), dkim.forms(signatures))
    resolver, limits = FakeResolver(mail_dkim_zone(path.parent.parent)), Limits(min_bits=512)
    found = done(dkim.verify(resolver, HeaderForms(message.fields), signatures, bodies, 1_200_000_000.0, limits))
    assert all((each.result is DkimResult.PASS) == (not path.stem.startswith("bad")) for each in found), found


def chasquid_zone(path: Path) -> dict[tuple[str, str], Any]:
    zone: dict[tuple[str, str], Any] = {}
    text = path.read_text().replace("\\\n", " ") if path.exists() else ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if not value.strip():
            continue
        special = {"TEMPERROR": AnswerKind.SERVFAIL, "PERMERROR": AnswerKind.NXDOMAIN}.get(value.strip())
        if special:
            zone[name.strip(), "TXT"] = special
        else:
            zone.setdefault((name.strip(), "TXT"), []).append(" ".join(value.split()).encode())
    return zone


# Files that are links in chasquid's own tree, and are absent from the archive.
SAME = {"02": "01", "03": "01", "04": "01", "07": "01", "09": "08", "10": "01"}


def of_case(path: Path, suffix: str) -> Path:
    """The case's file of that kind, or the one it shares."""
    own = path.with_suffix(suffix)
    if own.exists():
        return own
    return next(iter(sorted(path.parent.glob(f"{SAME.get(path.stem[:2], '01')}-*{suffix}"))))


@pytest.mark.parametrize("path", cases("dkim_chasquid", "*"))
def test_chasquid(path: Path) -> None:
    """As many signatures are found as the case says, each in the state it says."""
    found = verified(of_case(path, ".msg"), chasquid_zone(of_case(path, ".dns")), Limits(max_signatures=5))
    if path.stem.startswith("03"):
        assert all(each.result is not DkimResult.PASS for each in found)  # a header that is none: nothing is valid in it
        return
    expected = json.loads(of_case(path, ".result").read_text())
    states = {"SUCCESS": {DkimResult.PASS}, "TEMPFAIL": {DkimResult.TEMPERROR}, "PERMFAIL": {DkimResult.FAIL, DkimResult.PERMERROR}}
    assert len(found) == expected["Found"]
    for each, wanted in zip(found, expected["Results"], strict=True):
        assert each.result in states[wanted["State"]]
        if wanted["Domain"]:
            assert (each.domain, each.selector) == (wanted["Domain"], wanted["Selector"])
