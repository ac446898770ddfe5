"""transport policies, sessions, report and publish."""

from __future__ import annotations

from pathlib import Path

from jetmail.mailauth import mtasts, tlsrpt
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import transport
from jetmail.store.traffic.transport import PolicyRow, ResultRow
from tests.cli.conftest import NOW, CommandLine
from tests.mailauth.test_reports import BOMB, RECORD, XML
from tests.mailauth.test_tlsrpt import REPORT


def test_known(jetmail: CommandLine) -> None:
    """What is in the store is shown; of one domain when one is named."""
    jetmail.ok("domain", "list")
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    database.run(transport.save_policy, PolicyRow("a.test", "1", "enforce", ("mx.a.test",), 86_400, NOW))
    counted = [ResultRow("2026-11-20", name, "sts", (), f"mx.{name}", "certificate-expired", 3) for name in ("a.test", "b.test")]
    database.run(transport.save, [], counted)
    database.close()
    assert "mx.a.test" in jetmail.ok("transport", "policies")
    assert [row["domain"] for row in jetmail.rows("transport", "sessions")] == ["a.test", "b.test"]
    assert [row["sessions"] for row in jetmail.rows("transport", "sessions", "--domain", "B.test")] == [3]


def test_report(jetmail: CommandLine, tmp_path: Path) -> None:
    """A report is read as mail and as a file; what is none is refused with a reason."""
    path = tmp_path / "report"
    octets = tlsrpt.build(REPORT)
    for given in (octets, tlsrpt.mail(REPORT, octets, "r@a.test", 0.0, "m@us.test")):
        path.write_bytes(given)
        assert "certificate-expired" in jetmail.ok("transport", "report", str(path))
    path.write_bytes(XML % (RECORD % 7))
    (told,) = jetmail.rows("transport", "report", str(path))
    assert told["records"][0]["count"] == 7
    assert "192.0.2.1" in jetmail.ok("transport", "report", str(path))
    path.write_bytes(BOMB)
    jetmail.run("transport", "report", str(path))
    assert (jetmail.code, "document type" in jetmail.err) == (2, True)


def test_publish(jetmail: CommandLine) -> None:
    """The file is a policy, and its record's id changes with it and only with it."""
    words = ("transport", "publish", "Example.org", "--mx", "mx.example.org", "--report-to", "tls@example.org")
    (testing,), (again,), (enforce,) = jetmail.rows(*words), jetmail.rows(*words), jetmail.rows(*words, "--mode", "enforce")
    assert mtasts.parse(testing["file"].encode()).hosts == ("mx.example.org",)
    assert testing == again and testing["records"][0] != enforce["records"][0]
    name, _, value = testing["records"][0]
    assert (name, bool(mtasts.record_id([value.encode()]))) == ("_mta-sts.example.org", True)
    assert tlsrpt.destinations([testing["records"][1][2].encode()]) == ("mailto:tls@example.org",)
    assert "mta-sts.example.org/.well-known/mta-sts.txt" in jetmail.ok(*words)
    for bad in (("--mx", "no host"), ("--mx", "a.test", "--report-to", "nobody"), (), ("--mx", "a.test", "--max-age", "-1")):
        jetmail.run("transport", "publish", "example.org", *bad)
        assert (jetmail.code, bool(jetmail.err)) == (2, True), bad
