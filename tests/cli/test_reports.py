"""reports list, show and sources; transport send-reports."""

from __future__ import annotations

from typing import Any

import pytest

from jetmail.cli.context import Context
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import aggregates, transport
from jetmail.store.traffic.aggregates import NewReport, Taken
from jetmail.store.traffic.transport import ResultRow
from tests.cli.conftest import NOW, CommandLine
from tests.fakes import FakeResolver
from tests.store.samples import delivery, message
from tests.store.test_aggregates import report


def store(jetmail: CommandLine) -> InlineDatabase:
    """The store behind the command line."""
    jetmail.ok("domain", "list")
    return InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))


def take(jetmail: CommandLine, number: int, *reports: NewReport, fault: str = "") -> None:
    """A mail that came that many hours ago."""
    database = store(jetmail)
    new = message(number, delivery("r@us.test", "delivered", reason="report"), content=None, received=NOW - 3_600 * number)
    database.run(aggregates.take, Taken(new, "far.test", reports, fault))
    database.close()


def test_nothing(jetmail: CommandLine) -> None:
    """An empty list says so; what is not there fails."""
    assert jetmail.ok("reports", "list") == jetmail.ok("reports", "sources") == "no reports\n"
    jetmail.run("reports", "show", "7")
    assert jetmail.code == 1 and "no such report: 7" in jetmail.err


def test_reports(jetmail: CommandLine) -> None:
    """Lists, one report and the sums, for people and as JSON."""
    take(jetmail, 1, report())
    take(jetmail, 30, report(2, kind="tls", ours="b.test", domain="b.test"))
    take(jetmail, 40, fault="the gzip file is broken")
    listed = jetmail.ok("reports", "list")
    assert "90%" in listed and "the gzip file is broken" in listed
    assert [row["kind"] for row in jetmail.rows("reports", "list", "--since", "2h")] == ["dmarc"]
    assert [row["domain"] for row in jetmail.rows("reports", "list", "--kind", "tls", "--domain", "b.test")] == ["b.test"]
    (shown,) = jetmail.rows("reports", "show", "1")
    assert (shown["report"]["report_id"], shown["rows"][1][0], shown["rows"][1][5]) == ("r1", "192.0.2.9", 10)
    told = jetmail.ok("reports", "show", "1")
    assert "90% of 100" in told and "FAILED" in told
    assert "the gzip file is broken" in jetmail.ok("reports", "show", "3")
    assert [(row["source"], row["failed"]) for row in jetmail.rows("reports", "sources", "--kind", "dmarc")] == [("192.0.2.9", 10), ("192.0.2.1", 0)]
    assert "dkim=fail spf=fail" in jetmail.ok("reports", "sources")


def test_send(jetmail: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted is sent at once, today's when it is asked for."""
    zone: dict[tuple[str, str], Any] = {("_smtp._tls.a.test", "TXT"): [b"v=TLSRPTv1; rua=mailto:tls@a.test"]}
    monkeypatch.setattr(Context, "resolver", FakeResolver(zone))
    database = store(jetmail)
    database.run(transport.save, [], [ResultRow(day, "a.test", "sts", (), "mx.a.test", "", 3) for day in ("2026-11-19", "2026-11-20")])
    database.close()
    assert jetmail.rows("transport", "send-reports") == [{"sent": 1}]
    assert jetmail.rows("transport", "send-reports", "--today") == [{"sent": 1}]
    assert "sent  0" in jetmail.ok("transport", "send-reports", "--today")
    assert [row["target"] for row in jetmail.rows("queue", "list")] == ["tls@a.test"] * 2
