"""mta-sts set, show, list and remove."""

from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine


@pytest.fixture
def example(jetmail: CommandLine) -> CommandLine:
    """With a domain; we are mx.mail.test, and reports are taken in."""
    settings = jetmail.directory / "etc" / "jetmail.toml"
    text = settings.read_text()
    for before, after in (('# zone = ""', 'zone = "mail.test"'), ('# hostname = ""', 'hostname = "MX.mail.test"')):
        text = text.replace(before, after)
    settings.write_text(text.replace("[reports]", '[reports]\naddress = "reports@mail.test"'))
    jetmail.ok("domain", "add", "example.org", "--destination", "mail.example.org", "--verified")
    return jetmail


def test_life(example: CommandLine) -> None:
    """Chosen, changed, shown, listed, removed; the records to publish are printed."""
    assert example.ok("mta-sts", "list").startswith("no domain has a policy")
    told = example.ok("mta-sts", "set", "Example.org")
    assert "mode: testing" in told and "mx: mx.mail.test" in told and "the policy is not served here" in told
    assert "mta-sts.example.org. 3600 IN CNAME mta-sts.mail.test." in told
    assert '_smtp._tls.example.org. 3600 IN TXT "v=TLSRPTv1; rua=mailto:reports@mail.test"' in told
    (shown,) = example.rows("mta-sts", "set", "example.org", "--mode", "enforce", "--mx", "a.test", "--mx", "*.b.test", "--max-age", "3600")
    assert (shown["mode"], shown["hosts"], shown["max_age"]) == ("enforce", ["a.test", "*.b.test"], 3_600)
    assert "less than a day" in example.err or "less than a day" in shown["warnings"][0]
    assert example.rows("mta-sts", "set", "example.org", "--own-mx")[0]["hosts"] == ["mx.mail.test"]
    assert example.rows("mta-sts", "show", "example.org") == example.rows("mta-sts", "list")
    records = {record["subject"]: record["value"] for record in example.rows("domain", "dns", "example.org")[0]["records"]}
    assert records["mta-sts-host"] == "mta-sts.mail.test" and records["dmarc"].endswith("rua=mailto:reports@mail.test")
    assert f'"{records["mta-sts"]}"' in example.ok("mta-sts", "show", "example.org")
    example.run("mta-sts", "remove", "example.org", answer="n")
    assert example.code == 1 and "hold on to it" in example.err
    assert "removed" in example.ok("mta-sts", "remove", "example.org", "--yes")
    example.run("mta-sts", "show", "example.org")
    assert example.code == 1 and "has no MTA-STS policy" in example.err


def test_mistakes(example: CommandLine) -> None:
    """No such domain, no host, no time."""
    for words, code in ((("nothing.test",), 1), (("example.org", "--mx", "no host"), 2), (("example.org", "--max-age", "-1"), 2)):
        example.run("mta-sts", "set", *words)
        assert (example.code, bool(example.err)) == (code, True), words
