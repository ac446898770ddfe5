"""Mail with programs we did not write: swaks, smtp-source, Postfix and Python's smtplib, in both directions, in clear and under TLS."""

from __future__ import annotations

import re
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.live import needs, postfix
from tests.live.conftest import Certificates
from tests.live.harness import Appliance, free_port, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client, careless

pytestmark = pytest.mark.slow
Make = Callable[..., Appliance]


@pytest.fixture
def relay(make: Make, far: SinkProcess) -> Appliance:
    """A running appliance whose example.test goes to the sink."""
    appliance = make(
        {"listener": [{"kind": "mx", "address": "127.0.0.1", "port": free_port()}, {"kind": "submissions", "address": "127.0.0.1", "port": 0}]}
    )
    appliance.domain("example.test", far.port, "--tls", "none")
    return appliance.start()


@pytest.fixture
def private_postfix() -> Iterator[Callable[..., postfix.Postfix]]:
    """private_postfix(next_port, options): started; stopped at the end of the test."""
    if why := postfix.missing():
        pytest.skip(why)
    running: list[postfix.Postfix] = []

    def build(next_port: int, options: dict[str, str] | None = None) -> postfix.Postfix:
        running.append(postfix.Postfix(next_port, options))
        return running[-1].start()

    yield build
    for each in running:
        each.stop()


def swaks(port: int, *options: str, to: str = "someone@example.test") -> str:
    command = [needs.program("swaks"), "--server", f"127.0.0.1:{port}", "--from", "sender@sender.test", "--to", to, "--helo", "sender.test", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def messages(appliance: Appliance) -> list[dict[str, Any]]:
    """Each message of the log, with everything that is known of it."""
    return [appliance.rows("message", "show", uid)[0] for uid in {row["uid"] for row in appliance.rows("log", "--limit", "50")}]


def test_swaks(relay: Appliance, far: SinkProcess) -> None:
    """swaks delivers through us; the reply to the message names its id, and the content arrives with one Received field more."""
    talk = swaks(relay.smtp_port, "--body", ".a line that begins with a dot\\n..and another", "--header", "Subject: by swaks")
    (row,) = far.wait_for(1)
    assert row["subject"] == "by swaks"
    assert row["recipients"] == ["someone@example.test"]
    assert "\r\n.a line that begins with a dot\r\n..and another" in row["content"]
    assert row["content"].count("Received:") == 1
    assert re.search(r"<-  250 2\.\d\.\d .*\b[0-9a-f]{20}\b", talk), talk


def test_swaks_starttls(relay: Appliance, far: SinkProcess) -> None:
    """swaks upgrades with STARTTLS, and the log knows the TLS version of the connection."""
    talk = swaks(relay.smtp_port, "-tls", "--header", "Subject: secured")
    assert re.search(r"TLS started with cipher TLSv1\.[23]", talk)
    assert far.wait_for(1)[0]["subject"] == "secured"
    assert all(row["tls"].startswith("TLSv1") for row in messages(relay))


def test_swaks_pipelined_to_several(relay: Appliance, far: SinkProcess) -> None:
    """swaks pipelines to three recipients and all of them get the message, once."""
    swaks(relay.smtp_port, "--pipeline", to="a@example.test,b@example.test,c@example.test")
    wait_until(lambda: sum(len(row["recipients"]) for row in far.received()) >= 3, 20, "three recipients")
    assert sorted(address for row in far.received() for address in row["recipients"]) == ["a@example.test", "b@example.test", "c@example.test"]


def test_swaks_to_a_stranger(relay: Appliance) -> None:
    """Mail for a domain that is not ours is refused at RCPT with a relay denial."""
    command = [needs.program("swaks"), "--server", f"127.0.0.1:{relay.smtp_port}", "--from", "a@sender.test", "--to", "b@elsewhere.test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    assert re.search(r"<\*\* 550 5\.(1\.2|7\.1) ", done.stdout), done.stdout


def test_smtp_source_burst(relay: Appliance, far: SinkProcess) -> None:
    """300 messages over 20 connections of smtp-source: each answered 250, each delivered once."""
    command = [needs.program("smtp-source", "postfix"), "-s", "20", "-m", "300", "-l", "4096", "-f", "a@sender.test", "-t", "b@example.test"]
    subprocess.run([*command, f"127.0.0.1:{relay.smtp_port}"], check=True, timeout=60)
    assert len(far.wait_for(300, 60)) == 300
    assert wait_until(lambda: not relay.queued(), 20, "an empty queue")


def test_postfix_sends_to_us_under_tls(relay: Appliance, far: SinkProcess, private_postfix: Callable[..., postfix.Postfix]) -> None:
    """A Postfix that insists on encryption hands us its mail, small and large."""
    peer = private_postfix(relay.smtp_port, {"smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "1"})
    for number in range(5):
        swaks(peer.port, "--header", f"Subject: by postfix {number}")
    with Client(peer.port) as client:
        client.send("large@example.test", b"Subject: large\r\n\r\n" + b"0123456789" * 7 + b"\r\n" + b"filling line\r\n" * 200_000)
    far.wait_for(6)
    assert {row["subject"] for row in far.received()} == {*(f"by postfix {number}" for number in range(5)), "large"}
    assert max(row["size"] for row in far.received()) > 2_800_000
    assert "TLS connection established to 127.0.0.1" in peer.log()
    assert all(row["tls"].startswith("TLSv1") for row in messages(relay))


def test_we_send_to_postfix_under_tls(
    make: Make, far: SinkProcess, private_postfix: Callable[..., postfix.Postfix], certificates: Certificates
) -> None:
    """A destination that requires TLS and shows a certificate we can verify gets its mail, through Postfix and on."""
    secured = {
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_cert_file": str(certificates.certificate),
        "smtpd_tls_key_file": str(certificates.key),
    }
    peer = private_postfix(far.port, {**secured, "smtpd_tls_loglevel": "1"})
    appliance = make({"delivery": {"ca_file": str(certificates.authority), "command_timeout": 20.0, "final_timeout": 20.0}})
    appliance.domain("example.test", peer.port, "--tls", "verified")
    appliance.start()
    with Client(appliance.smtp_port) as client:
        for number in range(20):
            client.send(f"someone-{number}@example.test", b"Subject: to postfix\r\n\r\n" + b"a line of text\r\n" * (20_000 if number == 7 else 10))
    assert len(far.wait_for(20)) == 20
    assert "TLS connection established from" in peer.log()
    assert wait_until(lambda: not appliance.queued(), 20, "an empty queue")


def test_both_ways_through_two_postfixes(
    make: Make, far: SinkProcess, private_postfix: Callable[..., postfix.Postfix], certificates: Certificates
) -> None:
    """swaks -> Postfix -> TLS -> us -> TLS -> Postfix -> sink: 50 messages in, 50 out, nothing left behind."""
    secured = {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": str(certificates.certificate), "smtpd_tls_key_file": str(certificates.key)}
    behind = private_postfix(far.port, secured)
    appliance = make({"delivery": {"command_timeout": 20.0, "final_timeout": 20.0}})
    appliance.domain("example.test", behind.port, "--tls", "required")
    appliance.start()
    ahead = private_postfix(appliance.smtp_port, {"smtp_tls_security_level": "encrypt"})
    command = [
        needs.program("smtp-source", "postfix"),
        "-s",
        "5",
        "-m",
        "50",
        "-f",
        "a@sender.test",
        "-t",
        "b@example.test",
        f"127.0.0.1:{ahead.port}",
    ]
    subprocess.run(command, check=True, timeout=60)
    assert len(far.wait_for(50, 60)) == 50
    assert wait_until(lambda: not appliance.queued(), 20, "an empty queue")
    assert wait_until(lambda: not ahead.queued() and not behind.queued(), 20, "empty queues at both peers")


def test_untrusted_certificate_keeps_mail(make: Make, tmp_path: Path, certificates: Certificates) -> None:
    """A destination that must be verified and cannot be gets nothing: the mail waits, with the reason."""
    with SinkProcess(tmp_path / "log", "--cert", str(certificates.certificate), "--key", str(certificates.key)) as far:
        appliance = make()  # knows only the system's authorities
        appliance.domain("example.test", far.port, "--tls", "verified")
        appliance.start()
        with Client(appliance.smtp_port) as client:
            client.send("someone@example.test")
        rows = wait_until(
            lambda: [row for row in appliance.queued() if "tls" in f"{row['reason']} {row['reply']}".lower()], 20, "a reason in the queue"
        )
        assert [row["recipient"] for row in rows] == ["someone@example.test"]
        assert far.received() == []


def test_missing_starttls_keeps_mail(make: Make, far: SinkProcess) -> None:
    """A destination that must be encrypted and does not offer it gets nothing."""
    appliance = make()
    appliance.domain("example.test", far.port, "--tls", "required")
    appliance.start()
    with Client(appliance.smtp_port) as client:
        client.send("someone@example.test")
    wait_until(
        lambda: any("tls" in (str(row["reason"]) + str(row["reply"])).lower() for row in appliance.queued()), 20, "a queued message with a reason"
    )
    assert far.received() == []


def test_opportunistic_tls_is_used(make: Make, tmp_path: Path, certificates: Certificates) -> None:
    """STARTTLS is used where it is offered, even with a certificate nobody knows."""
    with SinkProcess(tmp_path / "log", "--cert", str(certificates.certificate), "--key", str(certificates.key)) as far:
        appliance = make()
        appliance.domain("example.test", far.port, "--tls", "opportunistic")
        appliance.start()
        with Client(appliance.smtp_port) as client:
            client.send("someone@example.test")
        assert far.wait_for(1)[0]["tls"].startswith("TLSv1")


def test_smtplib_with_utf8(relay: Appliance, far: SinkProcess) -> None:
    """An internationalised message of Python's smtplib (SMTPUTF8) arrives with its addresses and its text."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Jörg <jörg@sender.test>", "дмитрий@example.test", "Grüße"
    message.set_content("Schöne Grüße\n")
    with smtplib.SMTP("127.0.0.1", relay.smtp_port, timeout=30) as client:
        client.starttls(context=careless())
        client.send_message(message)
    (row,) = far.wait_for(1)
    assert row["recipients"] == ["дмитрий@example.test"]
    assert row["sender"] == "jörg@sender.test"


def test_chunking_sink(make: Make, tmp_path: Path) -> None:
    """A destination that offers CHUNKING gets the message as it was, lines with dots and all."""
    with SinkProcess(tmp_path / "log", "--chunking", "--keep") as far:
        appliance = make()
        appliance.domain("example.test", far.port, "--tls", "none")
        appliance.start()
        with Client(appliance.smtp_port) as client:
            client.send("someone@example.test", b"Subject: chunks\r\n\r\n..one dot\r\n" + b"filling line\r\n" * 30_000)
        (row,) = far.wait_for(1)
    assert "\r\n\r\n.one dot\r\nfilling line\r\n" in row["content"]
    assert row["content"].endswith("filling line\r\n")


def test_nothing_is_carried_over_starttls(relay: Appliance) -> None:
    """Commands that a man in the middle puts behind STARTTLS in the same segment are never obeyed: the connection ends."""
    with Client(relay.smtp_port) as client:
        client.write(b"STARTTLS\r\nMAIL FROM:<evil@sender.test>\r\n")
        assert client.is_closed(10) or not client.buffer


def test_smuggled_end_of_data_is_refused(relay: Appliance, far: SinkProcess) -> None:
    """A bare LF before the dot ends nothing: no second message comes out of the first, and the connection is closed."""
    with Client(relay.smtp_port) as client:
        client.envelope("someone@example.test")
        client.write(
            b"Subject: x\r\n\r\nfirst\n.\r\n"
            b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nSubject: y\r\n\r\nsecond\r\n.\r\n"
        )
        assert client.expect("").startswith("5")
        assert client.is_closed(10)
    assert far.received() == []
    assert relay.queued() == []
