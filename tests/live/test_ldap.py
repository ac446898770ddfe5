"""Recipients looked up in a real slapd: StartTLS, ldaps, certificates, passwords, outages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.live.conftest import Certificates
from tests.live.daemons import slapd
from tests.live.harness import Appliance, merge
from tests.live.sink import SinkProcess
from tests.live.talk import Client

pytestmark = pytest.mark.slow


def settings(place: Path, certificates: Certificates, server: str, **more: Any) -> dict[str, Any]:
    """[ldap] for that server."""
    (place / "password").write_text("reader-secret\n")
    ldap = {
        "servers": [server],
        "base": "ou=people,dc=demo,dc=test",
        "filter": "(mail={address})",
        "ca_file": str(certificates.authority),
        "bind_dn": "cn=reader,dc=demo,dc=test",
        "password_file": str(place / "password"),
        "timeout": 2.0,
    }
    return {"ldap": merge(ldap, more), "verify": {"negative": 10.0}}


def rcpt(appliance: Appliance, address: str) -> str:
    """The answer to RCPT."""
    with Client(appliance.smtp_port) as client:
        client.ask("MAIL FROM:<someone@sender.test>", "250")
        return client.ask(f"RCPT TO:<{address}>", "")[:9]


@pytest.mark.parametrize("way", ["starttls", "ldaps", "clear"])
def test_directory(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path, certificates: Certificates, way: str) -> None:
    """Who is in the directory is taken, with any of their addresses and with a tag; who is not is refused; over StartTLS, ldaps and, on this
    machine, in clear."""
    with slapd(tmp_path / "slapd", certificates.certificate, certificates.key, certificates.authority) as (plain, secure):
        server = f"ldaps://127.0.0.1:{secure}" if way == "ldaps" else f"ldap://127.0.0.1:{plain}"
        appliance = make(settings(tmp_path, certificates, server, starttls=way != "clear"))
        appliance.domain("live.test", far.port, "--recipients", "ldap")
        appliance.start()
        assert rcpt(appliance, "ann@live.test") == "250 2.1.5"
        assert rcpt(appliance, "anna.example@live.test") == "250 2.1.5"
        assert rcpt(appliance, "ann+news@live.test") == "250 2.1.5"
        assert rcpt(appliance, "bob@live.test") == "550 5.1.1"
        assert rcpt(appliance, "*@live.test") == "550 5.1.1"
        with Client(appliance.smtp_port) as client:
            client.send("ann@live.test")


@pytest.mark.parametrize("fault", ["certificate", "name", "password", "base", "port"])
def test_what_is_wrong_is_ours(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path, certificates: Certificates, fault: str) -> None:
    """A certificate nobody vouches for, or of another host, a wrong password, a base that is not there, nobody on the port: 451, and the sender comes
    again."""
    other = trustme.CA()
    if fault == "name":
        leaf = other.issue_cert("other.test")
        certificates = Certificates(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
        other.cert_pem.write_to_path(certificates.authority)
        leaf.cert_chain_pems[0].write_to_path(certificates.certificate)
        leaf.private_key_pem.write_to_path(certificates.key)
    with slapd(tmp_path / "slapd", certificates.certificate, certificates.key, certificates.authority) as (plain, _):
        wrong: dict[str, Any] = {"certificate": {"ca_file": ""}, "base": {"base": "ou=nowhere,dc=demo,dc=test"}}.get(fault, {})
        server = "ldap://127.0.0.1:1" if fault == "port" else f"ldap://127.0.0.1:{plain}"
        appliance = make(settings(tmp_path, certificates, server, **wrong))
        if fault == "password":
            (tmp_path / "password").write_text("guessed\n")
        appliance.domain("live.test", far.port, "--recipients", "ldap")
        appliance.start()
        assert rcpt(appliance, "ann@live.test") == "451 4.3.0"
        assert "LDAP" in appliance.output() and "reader-secret" not in appliance.output()


def test_restart_of_the_directory(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path, certificates: Certificates) -> None:
    """A directory that was restarted is asked again over a new connection; while it is down, who was known stays known."""
    files = certificates.certificate, certificates.key, certificates.authority
    with slapd(tmp_path / "slapd", *files) as ports:
        appliance = make(settings(tmp_path, certificates, f"ldap://127.0.0.1:{ports[0]}"))
        appliance.domain("live.test", far.port, "--recipients", "ldap")
        appliance.start()
        assert rcpt(appliance, "ann@live.test") == "250 2.1.5"
    with slapd(tmp_path / "slapd", *files, ports=ports):
        assert rcpt(appliance, "anna.example@live.test") == "250 2.1.5"
    assert rcpt(appliance, "ann@live.test") == "250 2.1.5"
    assert rcpt(appliance, "bob@live.test") == "451 4.3.0"


def test_callout(make: Callable[..., Appliance], tmp_path: Path) -> None:
    """With callout the destination is asked: what it refuses is refused, what it takes is taken, and when it is gone 450."""
    with SinkProcess(tmp_path / "yes.log") as yes, SinkProcess(tmp_path / "no.log", "--reject") as no:
        appliance = make({"verify": {"timeout": 3.0}})
        appliance.domain("live.test", yes.port, "--recipients", "callout")
        appliance.domain("none.test", no.port, "--recipients", "callout")
        appliance.domain("gone.test", 1, "--recipients", "callout")
        appliance.start()
        assert rcpt(appliance, "bob@live.test") == "250 2.1.5"
        assert rcpt(appliance, "bob@none.test") == "550 5.1.1"
        assert rcpt(appliance, "bob@gone.test") == "450 4.1.1"
        with Client(appliance.smtp_port) as client:
            client.send("bob@live.test")
