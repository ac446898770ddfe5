"""What users send is signed: through whole transactions, and judged by verifiers that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetmail.inbound.activity import Over
from jetmail.inbound.blocking import Blocking
from jetmail.interfaces import IExecutor
from jetmail.mail import dsn
from jetmail.mail.reply import Reply
from jetmail.mailauth.signing import generate, load
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.offload import InlineExecutor
from jetmail.signatures import Signatures
from jetmail.spool.content import chunks
from jetmail.store.directory import dkim_keys
from jetmail.store.directory.dkim_keys import DkimKey
from jetmail.store.keyfiles import KeyFiles
from jetmail.store.traffic.messages import Content
from tests import verifiers
from tests.inbound.receiving import MESSAGE, NOW, House

TEXT = MESSAGE.replace(b"\r\n\r\n", b"\r\nMIME-Version: 1.0\r\n\r\n", 1)


class Signing:
    """A house whose account 1 has example.org, with an RSA and an Ed25519 key."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.house = House(**options)
        self.files = KeyFiles(folder / "dkim")
        signatures = Signatures(self.house.directory, self.files, PublicSuffixes(), IExecutor(InlineExecutor()), self.house.clock.seconds)
        object.__setattr__(self.house.services, "signatures", signatures)
        self.signatures = signatures
        self.zone: dict[str, str] = {}
        self.house.add_domain("example.org")
        self.house.add_user(domains=("example.org", "*.example.org", "other.example"))
        for algorithm, selector in (("rsa", "jm1"), ("ed25519", "jm1e")):
            self.add_key("example.org", algorithm, selector)

    def add_key(self, domain: str, algorithm: str, selector: str, state: str = "active") -> None:
        """A key, its file and its record."""
        pem = generate(algorithm)
        signer = load(pem, domain, selector)
        self.files.write(domain, signer.fingerprint, pem)
        self.house.write(dkim_keys.add, DkimKey(domain, selector, algorithm, state, signer.record(), signer.fingerprint, NOW))
        self.zone[f"{selector}._domainkey.{domain}"] = signer.record()

    def sent(self, octets: bytes = TEXT, sender: str = "alice@example.org", username: str = "app") -> bytes:
        """A message as it will be delivered."""
        reply = self.house.submission(username).send(octets, sender)
        assert reply.code == 250, str(reply)
        row = self.house.rows("SELECT size, data, header, spool, spool_offset, id FROM content ORDER BY id DESC LIMIT 1")[0]
        return b"".join(chunks(Content(*row), self.house.spool))


def signers_of(octets: bytes) -> list[str]:
    """d=/s= of the signatures at the top."""
    head = octets.partition(b"\r\n\r\n")[0].replace(b"\r\n\t", b" ").split(b"\r\n")
    found = [line for line in head if line.startswith(b"DKIM-Signature: v=1; a=")]
    return [(part.partition(b" d=")[2].partition(b";")[0] + b"/" + part.partition(b" s=")[2].partition(b";")[0]).decode() for part in found]


PASSES = [("jm1e", "pass"), ("jm1", "pass")]


def agreed(octets: bytes, zone: dict[str, str]) -> None:
    """Everybody who is here finds what they know good."""
    assert verifiers.dkimpy(octets, zone) == PASSES
    for name, said in verifiers.others(octets, zone).items():
        assert said == (PASSES if name == "mailauth" else PASSES[1:]), name


def test_verifiers_agree(tmp_path: Path) -> None:
    """Both signatures of a message, as it is stored and sent, are good in the eyes of verifiers in three languages."""
    signing = Signing(tmp_path)
    octets = signing.sent(TEXT)
    assert signers_of(octets) == ["example.org/jm1e", "example.org/jm1"]
    agreed(octets, signing.zone)
    missing = [name for name, is_here in (("libmail-dkim-perl", verifiers.has_perl()), ("npm's mailauth", verifiers.has_node())) if not is_here]
    if missing:
        pytest.skip(f"judged without {' and '.join(missing)}")


@pytest.mark.parametrize(
    "body",
    [b"", b"\r\n", b"\r\n\r\n\r\n", b"no end", b"blanks  \t \r\n\r\n x\t\ty \r\n\r\n\r\n", b".\r\n..\r\n", "ü".encode() * 3_000 + b"\r\n"],
)
def test_any_body(tmp_path: Path, body: bytes) -> None:
    """Whatever the body is like, others come to the same hash."""
    signing = Signing(tmp_path)
    octets = signing.sent(MESSAGE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body)
    wire = octets if octets.endswith(b"\r\n") else octets + b"\r\n"  # as it ends when it is sent
    agreed(wire, signing.zone)


def test_spooled(tmp_path: Path) -> None:
    """A message too large for the store is signed all the same, its body hashed from the file."""
    signing = Signing(tmp_path, inline_limit=4_096)
    octets = signing.sent(MESSAGE + b"a line of a large message, with  blanks \r\n" * 10_000)
    assert signing.house.rows("SELECT spool != '' FROM content") == [(1,)]
    assert signing.house.accepted and len(octets) > 400_000
    agreed(octets, signing.zone)


def test_a_spool_that_cannot_be_read(tmp_path: Path) -> None:
    """When the body cannot be hashed the sender keeps the message, and nothing of it stays here."""
    signing = Signing(tmp_path, inline_limit=4_096)
    house = signing.house
    visit = house.submission()
    visit.mail()
    visit.rcpt()
    visit.receiver.data()
    visit.receiver.chunk(MESSAGE + b"x" * 70 + b"\r\n" + b"y\r\n" * 3_000)
    opened = house.spool.open
    house.spool.open = lambda name: opened("no such file")  # type: ignore[method-assign]
    answers: list[Any] = []
    visit.receiver.end().addCallback(answers.append)  # type: ignore[union-attr]
    assert str(answers[0]).startswith("451 4.3.0 ")
    assert house.rows("SELECT count(*) FROM messages") == [(0,)] and not house.spool.files


def test_fields_added_later_break_it(tmp_path: Path) -> None:
    """Oversigned: a second Subject, From or Reply-To put on top makes every signature fail."""
    signing = Signing(tmp_path)
    octets = signing.sent()
    for field in (b"Subject: other\r\n", b"From: eve@example.org\r\n", b"Reply-To: eve@example.org\r\n", b"Cc: eve@example.org\r\n"):
        assert {result for selector, result in verifiers.dkimpy(field + octets, signing.zone) if selector.startswith("jm1")} == {"fail"}
    assert [each for each in verifiers.dkimpy(b"X-Note: hello\r\n" + octets, signing.zone) if each[0].startswith("jm1")] == PASSES


def test_what_we_add_is_signed_over(tmp_path: Path) -> None:
    """Date and Message-ID, where we had to add them, are under the signature."""
    signing = Signing(tmp_path)
    octets = signing.sent(b"From: alice@example.org\r\nTo: bob@demo.test\r\nSubject: bare\r\n\r\ntext\r\n")
    assert b"\r\nDate: " in octets and b"\r\nMessage-ID: " in octets
    assert verifiers.dkimpy(octets, signing.zone) == PASSES
    assert "fail" in dict(verifiers.dkimpy(octets.replace(b"\r\nDate: ", b"\r\nDate: x"), signing.zone)).values()


def test_a_subdomain_is_signed_by_its_parent(tmp_path: Path) -> None:
    """Mail from a name below is signed with the nearest keys above, which DMARC takes as aligned."""
    signing = Signing(tmp_path)
    octets = signing.sent(TEXT.replace(b"alice@example.org", b"alice@news.example.org"), "alice@news.example.org")
    assert signers_of(octets) == ["example.org/jm1e", "example.org/jm1"]
    signing.house.add_domain("news.example.org")
    signing.add_key("news.example.org", "rsa", "jm2")
    octets = signing.sent(TEXT.replace(b"alice@example.org", b"alice@news.example.org"), "alice@news.example.org")
    assert signers_of(octets) == ["news.example.org/jm2"]


@pytest.mark.parametrize("state", ["account", "unverified", "off", "no keys", "next", "retired"])
def test_not_signed(tmp_path: Path, state: str) -> None:
    """Nobody is signed for in a neighbour's name, for a domain that is not proved or switched off, or by a key that is not active."""
    signing = Signing(tmp_path)
    change = {
        "account": "UPDATE domains SET account_id = 2 WHERE name = 'example.org'",
        "unverified": "UPDATE domains SET verified_at = NULL WHERE name = 'example.org'",
        "off": "UPDATE domains SET outbound = 0 WHERE name = 'example.org'",
        "no keys": "DELETE FROM dkim_keys",
        "next": "UPDATE dkim_keys SET state = 'next'",
        "retired": "UPDATE dkim_keys SET state = 'retired'",
    }[state]
    assert signers_of(signing.sent())
    signing.house.write(lambda conn: conn.execute(change))
    assert signers_of(signing.sent()) == []


def test_a_neighbour_below(tmp_path: Path) -> None:
    """A name below that another account has proved is not signed with the keys above it."""
    signing = Signing(tmp_path)
    signing.house.add_domain("news.example.org", account_id=2)
    assert signers_of(signing.sent(TEXT.replace(b"alice@example.org", b"alice@news.example.org"), "alice@news.example.org")) == []


def test_a_broken_from_is_not_signed(tmp_path: Path) -> None:
    """Two From fields are nobody's word."""
    signing = Signing(tmp_path)
    assert signers_of(signing.sent(b"From: alice@example.org\r\n" + TEXT)) == []


def test_a_key_that_is_gone(tmp_path: Path) -> None:
    """Mail goes out with the signature that is left, and with the lost one again when its file is back."""
    signing = Signing(tmp_path)
    (key,) = [each for each in signing.house.db.read(dkim_keys.of_domain, "example.org") if each.algorithm == "rsa"]
    pem = signing.files.read("example.org", key.fingerprint)
    signing.files.remove("example.org", key.fingerprint)
    assert signers_of(signing.sent()) == ["example.org/jm1e"]
    signing.files.write("example.org", key.fingerprint, pem)
    assert signers_of(signing.sent()) == ["example.org/jm1e"]
    signing.house.clock.advance(61)
    assert signers_of(signing.sent()) == ["example.org/jm1e", "example.org/jm1"]


def test_mail_from_outside_is_not_ours_to_sign(tmp_path: Path) -> None:
    """What comes in from strangers gets no signature of ours, even in the name of a domain of ours."""
    signing = Signing(tmp_path)
    assert signing.house.session().send(TEXT).code == 250
    ((data,),) = signing.house.rows("SELECT data FROM content")
    assert signers_of(data) == []


def test_our_own_messages(tmp_path: Path) -> None:
    """Reports and notices are signed where our own name, or one above it, has keys; and come out as they went in where it has none."""
    signing = Signing(tmp_path)
    report = dsn.build(
        dsn.Report(
            "mx.demo.test", "alice@example.org", "1@mx.demo.test", "=_x", NOW, NOW,
            (dsn.RecipientStatus("bob@far.test", dsn.Action.FAILED, "5.1.1", Reply(550, "5.1.1", "no such user"), "far.test"),),
            b"Subject: hello\r\n", False,
        )
    )  # fmt: skip
    assert signing.signatures.signed(report) == report
    signing.add_key("demo.test", "rsa", "jm2")
    assert verifiers.dkimpy(signing.signatures.signed(report), signing.zone) == [("jm2", "pass")]


def test_notices_of_a_block_are_signed(tmp_path: Path) -> None:
    """What tells an account that its sender was blocked carries our signature."""
    signing = Signing(tmp_path)
    signing.add_key("demo.test", "rsa", "jm2")
    house = signing.house
    house.write(lambda conn: conn.execute("UPDATE accounts SET contact = 'boss@demo.test'"))
    blocking = Blocking(
        house.db, house.directory, house.services.book, house.queue, "mx.demo.test", house.clock.seconds, lambda: "f" * 20, signing.signatures.signed
    )
    blocking(Over("uuid-of-app", "", "spam", {"spam": 100}))
    ((data,),) = house.rows("SELECT data FROM content")
    assert verifiers.dkimpy(data, signing.zone) == [("jm2", "pass")]


def test_key_files(tmp_path: Path) -> None:
    """Private keys are for their owner's eyes; what no row knows is found after a day."""
    signing = Signing(tmp_path)
    paths = sorted((tmp_path / "dkim").rglob("*"))
    assert [oct(path.stat().st_mode & 0o777) for path in paths] == ["0o700", "0o600", "0o600"]
    known = [(key.domain, key.fingerprint) for key in signing.house.db.read(dkim_keys.listing)]
    later = max(path.stat().st_mtime for path in paths) + 90_000
    assert list(signing.files.orphans(known, later)) == []
    assert list(signing.files.orphans(known[:1], later)) == known[1:]
    assert list(signing.files.orphans([], later - 89_000)) == []
