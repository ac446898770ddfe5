"""transport policies | sessions | send-reports | report | publish: TLS towards other domains, and what they say about ours."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jetmail.actions import transport
from jetmail.cli import output
from jetmail.cli.context import Context, settled
from jetmail.cli.parser import OK, Commands
from jetmail.errors import UsageError
from jetmail.mailauth import reports
from jetmail.mailauth.aggregate import DmarcReport, ReportError
from jetmail.mailauth.reports import MAX_PACKED, TlsReport


def register(commands: Commands) -> None:
    """Declare the commands."""
    family = commands.family("transport", "TLS towards other domains, and reports about ours", "transport sessions --domain example.net")
    family.add("policies", policies, "MTA-STS policies of other domains that are in force", ["transport policies", "transport policies --json"])
    parser = family.add(
        "sessions",
        sessions,
        "sessions with other domains since their last TLS report, by what came of TLS",
        ["transport sessions", "transport sessions --domain example.net"],
    )
    parser.add_argument("--domain", default="", metavar="DOMAIN", help="of this domain only")
    parser = family.add(
        "send-reports",
        send_reports,
        "send the TLS reports that are due now, without waiting for the hour they leave at",
        ["transport send-reports", "transport send-reports --today"],
        details="Those that domains want by HTTPS are left to the running jetmail.",
    )
    parser.add_argument("--today", action="store_true", help="also what was counted today until now")
    parser = family.add(
        "report",
        report,
        "read a TLS or DMARC report somebody sent",
        ["transport report message.eml", "transport report google.com!example.org!1700000000!1700086399.zip"],
        details="FILE is the message, or the attachment as it is: gzip, zip, JSON or XML.",
    )
    parser.add_argument("file", metavar="FILE", help="the report; - is standard input")
    parser = family.add(
        "publish",
        publish,
        "print the MTA-STS policy and the records a domain of ours publishes",
        ["transport publish example.org --mx mx.example.org", "transport publish example.org --mx mx.example.org --mode enforce"],
        details="The policy is a file for a web server with a certificate for mta-sts.DOMAIN. Begin with testing, read the reports, then enforce.",
    )
    parser.add_argument("domain", metavar="DOMAIN", help="the domain mail is for")
    parser.add_argument("--mx", action="append", default=[], metavar="HOST", help="a host that takes its mail, or *.NAME; may be repeated")
    parser.add_argument("--mode", choices=("none", "testing", "enforce"), default="testing", help="what senders are to do (testing)")
    parser.add_argument("--max-age", type=int, default=604_800, metavar="SECONDS", help="how long senders keep the policy (604800)")
    parser.add_argument("--report-to", default="", metavar="ADDRESS", help="where daily TLS reports are wanted")


def policies(context: Context, arguments: argparse.Namespace) -> int:
    """What is known."""
    rows = settled(transport.policies(context.db, context.actor))
    context.show(
        [row._asdict() for row in rows],
        ("domain", "mode", "hosts", "fetched", "good until"),
        lambda row: (
            row["domain"], row["mode"], " ".join(row["hosts"]), context.when(row["fetched"]), context.when(row["fetched"] + row["max_age"])
        ),
        "no policy is known",
    )  # fmt: skip
    return OK


def sessions(context: Context, arguments: argparse.Namespace) -> int:
    """What was counted."""
    rows = settled(transport.sessions(context.db, context.actor, arguments.domain))
    context.show(
        [row._asdict() for row in rows],
        ("day", "domain", "policy", "host", "result", "sessions"),
        lambda row: (row["day"], row["domain"], row["policy"], row["host"], row["result"] or "success", row["sessions"]),
        "nothing was counted",
    )
    return OK


def send_reports(context: Context, arguments: argparse.Namespace) -> int:
    """Now."""
    from twisted.logger import Logger  # here, because no other command of the family sends anything

    from jetmail import host
    from jetmail.mailauth.suffixes import PublicSuffixes
    from jetmail.offload import InlineExecutor, SystemEntropy
    from jetmail.outbound.reporting import TlsReports
    from jetmail.signatures import Signatures
    from jetmail.store.directory.cache import Directory
    from jetmail.store.keyfiles import KeyFiles

    directory, keys = Directory(context.db), KeyFiles(context.config.state / "dkim")
    signatures = Signatures(directory, keys, PublicSuffixes(), InlineExecutor(), context.seconds)
    tls_reports = TlsReports(
        context.db, context.resolver, None, context.config.server.hostname or host.full_hostname(), context.seconds,
        lambda: f"{int(context.seconds() * 1000):011x}{SystemEntropy().token(5).hex()[:9]}", context.changed, Logger("jetmail.outbound.reporting"),
        signatures.signed,
    )  # fmt: skip
    sent = settled(tls_reports.send_now(arguments.today))
    context.show_one({"sent": sent}, [("sent", sent)])
    return OK


def report(context: Context, arguments: argparse.Namespace) -> int:
    """What it says."""
    octets = _read(context, arguments.file)
    try:
        found = reports.read(octets) if b":" in octets[:78].partition(b"\n")[0] and octets[:1] not in b"{<" else reports.unpack(octets)
    except ReportError as error:
        raise UsageError("FILE", str(error)) from error
    if arguments.json:
        output.json_line(context.out, found)
    elif isinstance(found, DmarcReport):
        _show_dmarc(context, found)
    else:
        _show_tls(context, found)
    return OK


def publish(context: Context, arguments: argparse.Namespace) -> int:
    """What to publish."""
    made = transport.published(arguments.domain, arguments.mode, arguments.mx, arguments.max_age, arguments.report_to)
    items: list[tuple[str, object]] = [("file", made.url), *(("", line) for line in made.file.split("\r\n") if line)]
    items += [("record", f"{name} {kind} \"{value}\"") for name, kind, value in made.records]
    context.show_one(made, items)
    return OK


def _read(context: Context, name: str) -> bytes:
    if name == "-":
        stream: Any = getattr(context.inp, "buffer", None)
        found: bytes = stream.read(2 * MAX_PACKED) if stream is not None else context.inp.read(2 * MAX_PACKED).encode("utf-8", "surrogateescape")
        return found
    with Path(name).open("rb") as file:
        return file.read(2 * MAX_PACKED)


def _show_dmarc(context: Context, found: DmarcReport) -> None:
    items: list[tuple[str, object]] = [("DMARC report of", found.organization), ("about", f"{found.domain} (p={found.policy})")]
    output.pairs(context.out, [*items, ("from", context.when(found.begin)), ("to", context.when(found.end))])
    output.table(
        context.out,
        ("source", "messages", "disposition", "dkim", "spf", "from"),
        [(one.source, one.count, one.disposition, one.dkim, one.spf, one.header_from) for one in found.records],
    )


def _show_tls(context: Context, found: TlsReport) -> None:
    items: list[tuple[str, object]] = [("TLS report of", found.organization), ("contact", found.contact)]
    output.pairs(context.out, [*items, ("from", context.when(found.begin)), ("to", context.when(found.end))])
    rows: list[tuple[object, ...]] = []
    for policy in found.policies:
        rows.append((policy.domain, policy.kind, "", "success", policy.succeeded))
        rows += [(policy.domain, policy.kind, failure.host, failure.result, failure.sessions) for failure in policy.failures]
    output.table(context.out, ("domain", "policy", "host", "result", "sessions"), rows)
