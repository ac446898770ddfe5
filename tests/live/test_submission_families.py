"""Networks of SMTP users where both families reach us: IPv4 that comes over an IPv6 socket is IPv4, and either family may be the one that counts."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.harness import Appliance, free_port
from tests.live.submitting import PASSWORD
from tests.live.talk import careless

pytestmark = pytest.mark.slow


def sign_in(host: str, port: int) -> tuple[int, str]:
    """What is said to the right password from there."""
    with smtplib.SMTP(host, port, timeout=30) as session:
        session.starttls(context=careless())
        try:
            code, said = session.login("app", PASSWORD)
        except smtplib.SMTPAuthenticationError as refused:
            code, said = refused.smtp_code, refused.smtp_error
        return code, said.decode() if isinstance(said, bytes) else said


def test_both_families(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """A listener on all addresses, a user of one network: the other family is refused, named until both are there, mapped ones are IPv4."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    port = free_port()
    appliance = make({"listener": [{"kind": "mx", "address": "127.0.0.1", "port": free_port()}, {"kind": "submission", "port": port}]})
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    made = appliance.rows("smtp-user", "add", "app", "--domain", "example.org", "--network", "::ffff:127.0.0.1", "--password-file", str(secret))
    assert made[0]["networks"] == ["127.0.0.1"]
    appliance.start()
    assert sign_in("127.0.0.1", port)[0] == 235
    assert sign_in("::1", port) == (535, "IP not authorized")
    appliance.cli("smtp-user", "set", "app", "--network", "::/64")
    assert sign_in("::1", port)[0] == 235
    assert sign_in("127.0.0.1", port) == (535, "IP not authorized")
    appliance.cli("smtp-user", "set", "app", "--network", "127.0.0.0/8", "--network", "::1")
    assert {sign_in("127.0.0.1", port)[0], sign_in("::1", port)[0]} == {235}
