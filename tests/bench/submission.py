"""submission: messages a second of users who sign in, alone or in alternating rounds with Postfix and Dovecot's SASL.

Each message is a new connection with STARTTLS and AUTH PLAIN, 4 KB, not pipelined, and stays queued. Both sides show the same certificate (ECDSA
P-256) and are sent to by the same loader (tests.bench.submitter, two processes of threads). The peer keeps the one password in clear, or, with
--peer-hash argon2id, with the hash and cost of jetmail, which it then pays on each connection; jetmail always keeps argon2id and remembers whom it
has just proved. The chain is that of the road, as Postfix has no opinion of content either; `--shipped` takes all of it. Every message must be
answered 250 and be found in the queue, or there is no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jetmail import passwords
from jetmail.inbound.tls import CertificateFiles, ensure_certificate
from tests.bench import figures
from tests.bench.loading import Lied, Load
from tests.bench.machine import family_seconds
from tests.bench.sides import Jetmail, check_stored, private
from tests.live import dovecot, postfix
from tests.live.harness import ROOT, free_port, merge

USER = "bench"
PASSWORD = "correct horse battery staple"
PROCESSES = 2


class Certificate:
    """A key and a certificate both sides show, readable for the user postfix; the password for the loader."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jetmail-bench-"))
        self.directory.chmod(0o755)
        self.files = CertificateFiles(self.directory / "cert.pem", self.directory / "key.pem")
        ensure_certificate(self.files, "bench.example.test", time.time())
        self.secret = self.directory / "password"
        self.secret.write_text(PASSWORD + "\n")

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Submission(Jetmail):
    """A private appliance with a submission port and one user, who may send from example.test; its mail stays queued."""

    def __init__(self, certificate: Certificate, road: bool = False, more: dict[str, Any] | None = None) -> None:
        settings = private()
        self.submission_port = free_port()
        settings["listener"].append({"kind": "submission", "address": "127.0.0.1", "port": self.submission_port})
        settings["tls"] = {"certificate": str(certificate.files.certificate), "key": str(certificate.files.key)}
        super().__init__(0, merge(settings, more or {}), road)
        self.appliance.cli("smtp-user", "add", USER, "--domain", "example.test", "--password-file", str(certificate.secret))


class PostfixDovecot:
    """A private Postfix that asks a private Dovecot who its users are."""

    name = "postfix+dovecot"
    host = "127.0.0.1"

    def __init__(self, certificate: Certificate, kept: str) -> None:
        self.dovecot = dovecot.Dovecot(USER, kept).start()
        self.postfix = postfix.Postfix(
            0,
            {
                "smtpd_tls_cert_file": str(certificate.files.certificate),
                "smtpd_tls_key_file": str(certificate.files.key),
                "smtpd_tls_security_level": "encrypt",
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": str(self.dovecot.socket),
                "smtpd_sasl_security_options": "noanonymous",
                "smtpd_tls_auth_only": "yes",
                "mynetworks": "",
                "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
                "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            },
        ).start()
        self.port = self.submission_port = self.postfix.port

    def stored(self) -> int | None:
        return self.postfix.queued()

    def cpu(self) -> float | None:
        master = int((self.postfix.directory / "spool" / "pid" / "master.pid").read_text())
        assert self.dovecot.process is not None
        return family_seconds(master) + family_seconds(self.dovecot.process.pid)

    def stop(self) -> None:
        self.postfix.stop()
        self.dovecot.stop()


def send(port: int, load: Load, secret: Path) -> dict[str, float]:
    """-> {'seconds' from the first connection to the last reply, 'loader_cpu'}. Raises Lied unless every message was answered 250."""
    command = [
        sys.executable, "-m", "tests.bench.submitter", "--port", str(port), "--user", USER, "--password-file", str(secret),
        "--sessions", str(load.sessions // PROCESSES), "--messages", str(load.messages // PROCESSES), "--size", str(load.size),
    ]  # fmt: skip
    running = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    try:
        for process in running:
            assert process.stdout is not None and process.stdin is not None
            if process.stdout.readline() != "ready\n":
                raise Lied("the loader did not start")
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [json.loads(process.communicate(timeout=900)[0]) for process in running]
    finally:
        for process in running:
            process.kill()
    accepted = sum(each["accepted"] for each in told)
    if accepted != load.messages // PROCESSES * PROCESSES or any(each["replies"] for each in told):
        raise Lied(f"port {port}: {accepted} of {load.messages} messages answered 250, and {[each['replies'] for each in told]}")
    return {
        "seconds": max(each["ended"] for each in told) - min(each["began"] for each in told),
        "loader_cpu": sum(each["cpu"] for each in told),
    }


def measure(side: Submission | PostfixDovecot, load: Load, secret: Path) -> dict[str, float]:
    """One round of one side."""
    stored, used = side.stored(), side.cpu()
    sent = send(side.submission_port, load, secret)
    spent = side.cpu()
    check_stored(side, stored, load)
    found = {"rate": load.messages / sent["seconds"], "loader_ms": sent["loader_cpu"] * 1000 / load.messages}
    if used is not None and spent is not None:
        found["cpu_ms"] = (spent - used) * 1000 / load.messages
    return found


def unavailable() -> str:
    """Why there can be no peer here."""
    return "; ".join(filter(None, (postfix.missing(), dovecot.missing())))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement, told on stderr as it goes. -> what --json prints."""
    load = Load(options.messages // PROCESSES * PROCESSES, options.size, options.sessions)
    sides: list[Submission | PostfixDovecot] = []
    rounds: dict[str, list[dict[str, float]]] = {}
    if options.postfix and (why := unavailable()):
        print(f"\n*** NO PEER: {why}. What follows is jetmail alone; there is no ratio. ***\n", file=sys.stderr, flush=True)
    certificate = Certificate()
    try:
        ours = Submission(certificate, road=not options.shipped)
        sides.append(ours)
        ours.start()
        if options.postfix and not unavailable():
            kept = "{PLAIN}" + PASSWORD if options.peer_hash == "plain" else "{ARGON2ID}" + passwords.encode(PASSWORD, os.urandom(passwords.SALT))
            sides.append(PostfixDovecot(certificate, kept))
        for side in sides:
            measure(side, load.times(0.25), certificate.secret)
        for number in range(options.rounds):
            for side in sides:
                found = measure(side, load, certificate.secret)
                rounds.setdefault(side.name, []).append(found)
                cpu = f", {found['cpu_ms']:.2f} ms CPU a message" if "cpu_ms" in found else ""
                line = f"submission round {number + 1} {side.name}: {found['rate']:.0f} messages/s{cpu}, loader {found['loader_ms']:.2f} ms"
                print(line, file=sys.stderr, flush=True)
    finally:
        for side in reversed(sides):
            side.stop()
        certificate.remove()
    return report(options, rounds)


def report(options: argparse.Namespace, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """What --json prints."""
    rates = {name: [found["rate"] for found in series] for name, series in rounds.items()}
    peer = PostfixDovecot.name
    result: dict[str, Any] = {
        "bench": "submission",
        "messages": options.messages,
        "size": options.size,
        "sessions": options.sessions,
        "chain": "shipped" if options.shipped else "road",
        "rounds": options.rounds,
        "tls": "STARTTLS, ECDSA P-256, no session used again",
        "password": {"jetmail": "argon2id, remembered once proved", **({peer: options.peer_hash} if peer in rates else {})},
        "rates": {name: [round(rate, 1) for rate in series] for name, series in rates.items()},
        "median": {name: round(statistics.median(series), 1) for name, series in rates.items()},
        "cpu_ms": {name: round(statistics.median(each["cpu_ms"] for each in series), 3) for name, series in rounds.items() if "cpu_ms" in series[0]},
        "loader_ms": {name: round(statistics.median(each["loader_ms"] for each in series), 3) for name, series in rounds.items()},
        "ratio": {},
        "aims": [],
    }
    if peer in rates:
        found = figures.ratio(rates["jetmail"], rates[peer])
        result["ratio"][peer] = {"min": round(found.low, 2), "median": round(found.median, 2), "max": round(found.high, 2)}
    return result


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    kept = ", ".join(f"{name}: {how}" for name, how in result["password"].items())
    lines = [
        f"submission: {result['messages']} messages of {result['size']} octets, {result['sessions']} sessions, a new connection with AUTH PLAIN per "
        f"message, {result['rounds']} rounds, chain {result['chain']}",
        f"  {result['tls']}; password: {kept}; sent by tests.bench.submitter, {PROCESSES} processes",
    ]
    for name, series in result["rates"].items():
        cpu = f"   {result['cpu_ms'][name]:.2f} ms CPU a message" if name in result["cpu_ms"] else ""
        rates = " ".join(f"{rate:.0f}" for rate in series)
        lines.append(f"  {name:<16} median {result['median'][name]:>6.0f}/s   rounds {rates}{cpu}   loader {result['loader_ms'][name]:.2f} ms")
    lines += [f"  jetmail/{name}: min {each['min']}  median {each['median']}  max {each['max']}" for name, each in result["ratio"].items()]
    return lines
