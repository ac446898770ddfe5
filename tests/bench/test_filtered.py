"""bench filtered: its letters prove who sent them, its name server answers what it was given, and an unproven message is no figure."""

from __future__ import annotations

import argparse
from pathlib import Path

import dkim  # type: ignore[import-untyped]
import dns.message
import dns.rcode
import pytest

from tests.bench import __main__ as command
from tests.bench import filtered, letters, names
from tests.bench.loading import Lied

HEADER = b"Authentication-Results: bench.example.test; spf=pass smtp.mailfrom=a@b;\n\tdkim=pass header.d=b; dmarc=pass\nX-Spam-Score: -0.60\n"


def test_letters_are_signed() -> None:
    """Another implementation finds the signature good under the record the bench publishes, and each letter is of its own kind and some 14 KB."""
    signer = letters.signer()
    records = {key.encode() + b".": values[0].encode() for key, values in letters.records(signer, "bench.example.test").items()}
    made = [letters.letter(number, signer, 1_763_600_000.0) for number in range(3)]
    assert len(set(made)) == 3
    for letter in made:
        assert 13_500 < len(letter) < 15_000
        assert dkim.verify(letter, dnsfunc=lambda name, timeout=5: records[b"txt " + name])


def test_names() -> None:
    """A record is found whatever the case of the question, another type of the name is no data, another name does not exist."""
    zone = names.Zone({"txt Sender.test": ["v=spf1 " + "x" * 300], "a sender.test": ["127.0.0.1"]})

    def ask(name: str, kind: str) -> dns.message.Message:
        return dns.message.from_wire(zone.answer(dns.message.make_query(name, kind).to_wire()) or b"")

    assert len(b"".join(ask("sender.TEST", "TXT").answer[0][0].strings)) == 307
    assert ask("sender.test", "A").answer[0][0].address == "127.0.0.1"
    assert ask("sender.test", "MX").rcode() == dns.rcode.NOERROR
    assert ask("other.test", "A").rcode() == dns.rcode.NXDOMAIN
    assert ask("other.test", "A").authority[0][0].minimum == names.TTL
    assert zone.answer(b"") is None


def test_proof(tmp_path: Path) -> None:
    """A message whose header shows all results and a score counts; one without any of them, or one too few, does not."""
    (tmp_path / "1").write_bytes(HEADER + b"\nbody")
    filtered.prove("jetmail", tmp_path, 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Lied, match="0 messages in the sink's folder"):
        filtered.prove("jetmail", tmp_path, 1)
    for changed in (HEADER.replace(b"dkim=pass", b"dkim=fail"), HEADER.replace(b"X-Spam-Score", b"X-Score"), b"Subject: x\n"):
        (tmp_path / "1").write_bytes(changed + b"\nspf=pass dkim=pass dmarc=pass")
        with pytest.raises(Lied, match="arrived without"):
            filtered.prove("jetmail", tmp_path, 1)


def test_report() -> None:
    """The report holds both aims, the CPU by thread, and what is left of it when the stages of judging are taken away."""
    options = command.arguments(["filtered", "--postfix-rspamd"])
    assert isinstance(options, argparse.Namespace)
    ours = [{"rate": 400.0, "cpu_ms": 1.9, "threads": {"reactor": 1.7}}, {"rate": 420.0, "cpu_ms": 1.8, "threads": {"reactor": 1.6}}]
    result = filtered.report(options, {"jetmail": ours, "postfix+rspamd": [{"rate": 200.0}, {"rate": 100.0}]}, {"authentication": 0.5}, 14_336)
    assert result["ratio"]["postfix+rspamd"]["median"] == 3.1
    assert [aim["met"] for aim in result["aims"]] == [True, True]
    assert result["stages_ms"] == {"authentication": 0.5, "session, commit, delivery": 1.35}
    assert any("postfix+rspamd" in line for line in filtered.told(result))
