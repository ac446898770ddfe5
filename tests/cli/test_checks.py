"""What `check` finds, and that it finds everything at once."""

from __future__ import annotations

import dataclasses
import os
import pwd
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jetmail import config as settings
from jetmail import host
from jetmail.cli import checks
from jetmail.cli.setup import make_directory
from jetmail.mail.address import parse
from jetmail.store.database import InlineDatabase
from jetmail.store.directory import domains, recipients


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A new jetmail directory."""
    make_directory(tmp_path)
    return tmp_path


def config(directory: Path, **sections: dict[str, object]) -> settings.Config:
    """Its settings with some changed."""
    loaded = settings.load(directory / "etc" / "jetmail.toml")
    return dataclasses.replace(loaded, **{name: dataclasses.replace(getattr(loaded, name), **values) for name, values in sections.items()})


def certificate(folder: Path, days: int, host_name: str = "mx.example.org") -> tuple[Path, Path]:
    """A certificate that ends in `days`, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.org")])
    end = datetime.now(UTC) + timedelta(days=days, hours=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
    made = builder.not_valid_before(end - timedelta(days=90)).not_valid_after(end).sign(key, hashes.SHA256())
    paths = folder / f"cert{days}.pem", folder / f"key{days}.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def reasons(problems: object) -> str:
    """All reasons in one text."""
    return "\n".join(f"{problem.key}: {problem.reason}" for problem in problems)  # type: ignore[attr-defined]


def test_settings_faults_are_all_listed(directory: Path) -> None:
    """Every fault of the settings is a problem of its own with file and key, and nothing else is guessed."""
    (directory / "etc" / "jetmail.toml").write_text('[smtp]\nmax_errors = 0\n[tls]\ncolour = "red"\n[wbe]\nport = 1\n')
    problems = checks.all_problems(directory / "etc" / "jetmail.toml")
    assert {problem.file for problem in problems} == {"jetmail.toml"}
    assert {problem.key for problem in problems} == {"smtp.max_errors", "tls.colour", "wbe"}


def test_presets_faults_are_all_listed(directory: Path) -> None:
    """Every fault of etc/providers.toml, with its key."""
    (directory / "etc" / "providers.toml").write_text('[default]\nburst = 30\nspeed = 1\n[[provider]]\nname = "x"\n')
    found = {(problem.file, problem.key) for problem in checks.presets(config(directory))}
    assert found == {("providers.toml", "default"), ("providers.toml", "provider 'x'")}


def test_postmaster(directory: Path) -> None:
    """Nobody named, nobody there, and our own name are warnings; an address of ours that is there, one elsewhere, and a domain's own are none."""
    own = {"hostname": "mx.us.test"}
    db = InlineDatabase(str(directory / "var" / "jetmail.db"))
    db.run(domains.add, domains.Domain(name="us.test", kind="relay", verified_at=1.0, recipients="listed"))
    db.run(recipients.add, [parse("ann@us.test")])
    db.close()
    for address, words in (
        ("", "is empty, so mail to postmaster@mx.us.test is refused"),
        ("eve@us.test", "eve@us.test is nobody's address"),
        ("x@mx.us.test", "x@mx.us.test is nobody's address"),
        ("ann@us.test", ""),
        ("op@far.test", ""),
    ):
        found = list(checks.postmaster(config(directory, server={**own, "postmaster": address})))
        assert [problem.is_warning for problem in found] == [True] * bool(words), address
        assert words in reasons(found)
    assert list(checks.postmaster(config(directory, server={"hostname": "any.test"})))
    db = InlineDatabase(str(directory / "var" / "jetmail.db"))
    db.run(domains.add, domains.Domain(name="any.test", kind="relay", verified_at=1.0))
    db.close()
    assert not list(checks.postmaster(config(directory, server={"hostname": "any.test"}))), "our own name is a domain that takes any recipient"


def test_a_certificate_that_ends(directory: Path) -> None:
    """An expired certificate is a problem, one that soon expires a warning, a good one neither."""
    for days, word in ((-2, "expired"), (5, "expires"), (60, "")):
        cert, key = certificate(directory, days)
        found = list(checks.certificate(config(directory, tls={"certificate": str(cert), "key": str(key)})))
        assert [problem.is_warning for problem in found] == ([] if not word else [days > 0])
        assert word in reasons(found)


def test_a_key_of_another_certificate(directory: Path) -> None:
    """A key that does not belong to the certificate is named."""
    (cert, _), (_, key) = certificate(directory, 50), certificate(directory, 60)
    assert "does not belong" in reasons(checks.certificate(config(directory, tls={"certificate": str(cert), "key": str(key)})))


def test_a_certificate_that_is_none(directory: Path) -> None:
    """A missing file and a file that is something else are told apart from a bad key."""
    assert "tls.certificate" in reasons(checks.certificate(config(directory, tls={"certificate": "none.pem", "key": "none.key"})))
    assert "not a certificate" in reasons(checks.certificate(config(directory, tls={"certificate": "etc/jetmail.toml", "key": "none.key"})))


def test_a_newer_store(directory: Path) -> None:
    """A store of a newer program is a problem before the start, not at it."""
    loaded = config(directory)
    database = InlineDatabase(str(loaded.database))
    database.connection.execute("PRAGMA user_version = 999")
    database.close()
    assert "newer" in reasons(checks.store(loaded))


def test_a_store_that_is_none(directory: Path) -> None:
    """A file that is no database is a problem with its path."""
    loaded = config(directory)
    loaded.database.write_bytes(b"this is not a database" * 100)
    (problem,) = checks.store(loaded)
    assert problem.file == str(loaded.database)


def test_a_full_disk(directory: Path) -> None:
    """Less room than min_free is a problem: no mail would be accepted."""
    assert "no mail would be accepted" in reasons(checks.disk(config(directory, store={"min_free": 1 << 60})))
    assert not list(checks.disk(config(directory, store={"min_free": 0})))


def test_user_who_cannot_read_the_program(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom the process becomes must exist and be able to read it: named with the folder that stops them."""
    monkeypatch.setattr(checks.host, "identity", lambda user, group: (65534, 65534) if user else None)
    (directory / "etc").chmod(0o700)
    found = reasons(checks.user(config(directory, server={"user": "nobody"})))
    assert f"server.user: nobody may not read {directory / 'etc'} (stopped at " in found
    assert not list(checks.user(config(directory)))


def test_user_who_does_not_exist(directory: Path) -> None:
    """A user this system does not know is found before the start."""
    assert "there is no user 'nobody-of-this-name'" in reasons(checks.user(config(directory, server={"user": "nobody-of-this-name"})))


def test_what_a_user_may_pass(tmp_path: Path) -> None:
    """By owner, group and others, in this order; root goes everywhere."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    me, group = os.getuid(), os.getgid()
    tmp_path.chmod(0o755)
    (tmp_path / "outer").chmod(0o750)
    name = pwd.getpwuid(me).pw_name
    assert host.barred(inner, name, (0, 0)) is None
    stranger = host.barred(inner, "nobody", (65534, 65534))
    assert stranger is not None and (stranger == tmp_path / "outer" or stranger in tmp_path.parents)
    if me:
        assert host.barred(inner, name, (me, group)) is None


def test_files_that_are_named(directory: Path, tmp_path: Path) -> None:
    """Authorities and passwords that are not there, or are something else, are problems under the settings that name them."""
    (tmp_path / "no.pem").write_text("nothing")
    delivery: dict[str, object] = {"ca_file": "/nope", "smarthost": "relay.test:25", "smarthost_username": "us", "smarthost_password_file": "/nope"}
    changed = config(directory, delivery=delivery, ldap={"ca_file": str(tmp_path / "no.pem"), "password_file": "/nope", "bind_dn": "cn=us"})
    keys = [problem.key for problem in checks.files(changed)]
    assert keys == ["delivery.ca_file", "ldap.ca_file", "delivery.smarthost_password_file", "ldap.password_file"], reasons(checks.files(changed))
    assert list(checks.files(config(directory))) == []


def test_one_port_for_two(directory: Path, free_ports: list[int]) -> None:
    """Two of our own settings with one port are a problem, though nobody has it now; on two addresses they are none."""
    first, _ = free_ports
    same = config(directory, web={"port": first, "address": "127.0.0.1"}, api={"port": first, "address": ""})
    assert f"api.port: port {first} is also web.port" in reasons(checks.ports(same))
    apart = config(directory, web={"port": first, "address": "127.0.0.1"}, api={"port": first, "address": "127.0.0.2"})
    assert "api.port" not in reasons(checks.ports(apart))


def test_directory_of_policy_certificates(directory: Path) -> None:
    """One that is not there, or is a file, is a problem under its setting, whether the port is open or not; the usual one need not be there."""
    for name, words in (("nowhere", "nowhere: No such file or directory"), ("etc/jetmail.toml", "jetmail.toml: Not a directory")):
        for port in (0, 8443):
            (problem,) = checks.policy_certificates(config(directory, web={"policy_certificates": name, "policy_port": port}))
            assert (problem.key, problem.is_warning) == ("web.policy_certificates", False) and words in problem.reason
    (directory / "certs").mkdir()
    assert not list(checks.policy_certificates(config(directory, web={"policy_certificates": "certs", "policy_port": 8443})))
    assert not list(checks.policy_certificates(config(directory, web={"policy_port": 8443})))


def test_certificates_of_policies(directory: Path) -> None:
    """Each file of that directory is looked at as the server's own certificate is: key and certificate in one, of that name, not expired."""
    folder = directory / "var" / "tls"
    folder.mkdir(parents=True)
    cert, key = certificate(folder, 60, "mta-sts.us.test")
    old, old_key = certificate(folder, -2, "mta-sts.old.test")
    (folder / "mta-sts.us.test.pem").write_bytes(key.read_bytes() + cert.read_bytes())
    (folder / "mta-sts.far.test.pem").write_bytes(cert.read_bytes() + key.read_bytes())
    (folder / "mta-sts.old.test.pem").write_bytes(old_key.read_bytes() + old.read_bytes())
    (folder / "mta-sts.mixed.test.pem").write_bytes(old_key.read_bytes() + cert.read_bytes())
    (folder / "mta-sts.half.test.pem").write_bytes(cert.read_bytes())
    found = list(checks.policy_certificates(config(directory, web={"policy_port": 8443})))
    assert {problem.key for problem in found} == {"web.policy_certificates"}
    told = {problem.reason.partition(": ")[0].rpartition("/")[2]: problem.reason.partition(": ")[2] for problem in found}
    assert told == {
        "mta-sts.far.test.pem": "is not a certificate for mta-sts.far.test",
        "mta-sts.old.test.pem": told["mta-sts.old.test.pem"],
        "mta-sts.mixed.test.pem": told["mta-sts.mixed.test.pem"],
        "mta-sts.half.test.pem": "is not an unencrypted private key in PEM form",
    }
    assert told["mta-sts.old.test.pem"].startswith("expired on ")
    assert told["mta-sts.mixed.test.pem"].startswith("does not belong to the certificate")


def test_state_that_is_no_directory(directory: Path) -> None:
    """A file where the state is to be is named as what it is."""
    (directory / "state").write_text("")
    (directory / "state").chmod(0o755)
    assert "server.state: " in (found := reasons(checks.store(config(directory, server={"state": "state"})))) and "is not a directory" in found


def test_group_that_does_not_exist(directory: Path) -> None:
    """A group this system does not know is found under its own setting."""
    name = pwd.getpwuid(os.getuid()).pw_name
    (problem,) = checks.user(config(directory, server={"user": name, "group": "nogroup-of-this-name"}))
    assert problem.key == "server.group" and "nogroup-of-this-name" in problem.reason


def test_files_a_user_must_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read while it runs must be open to whom the process becomes; a certificate only when it is renewed, which is a warning."""
    monkeypatch.setattr(checks.host, "identity", lambda user, group: (65534, 65534))
    monkeypatch.setattr(checks.host, "barred", lambda path, user, owner: path if path.suffix in (".pem", ".key") else None)
    (directory / "certs.pem").mkdir()
    (directory / "ca.pem").write_text("")
    (directory / "c.pem").write_text("")
    (directory / "k.key").write_text("")
    changed = config(
        directory,
        server={"user": "nobody"},
        tls={"certificate": "c.pem", "key": "k.key"},
        ldap={"ca_file": "ca.pem"},
        web={"policy_certificates": "certs.pem"},
    )
    found = [(problem.key, problem.is_warning) for problem in checks.user(changed)]
    assert found == [("tls.certificate", True), ("tls.key", True), ("ldap.ca_file", False), ("web.policy_certificates", False)]


def test_a_file_is_read_and_not_passed(tmp_path: Path) -> None:
    """A file need not be executable to be read by somebody."""
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o644)
    stranger = host.barred(tmp_path / "file", "nobody", (65534, 65534))
    assert stranger is None or stranger in tmp_path.parents or stranger == tmp_path
    (tmp_path / "file").chmod(0o600)
    assert host.barred(tmp_path / "file", "nobody", (65534, 65534)) is not None


def test_scores_faults_are_all_listed(directory: Path) -> None:
    """Every fault of etc/scores.toml, with its key: they keep jetmail from starting."""
    (directory / "etc" / "scores.toml").write_text("[scores]\nNO_SUCH_SYMBOL = 1\nGTUBE = 1000\n[score]\n")
    found = {(problem.file, problem.key) for problem in checks.scores(config(directory))}
    assert found == {("scores.toml", "score"), ("scores.toml", "scores.NO_SUCH_SYMBOL"), ("scores.toml", "scores.GTUBE")}
    (directory / "etc" / "rules.toml").write_text("nothing")
    assert not list(checks.scores(config(directory))), "what symbols there are cannot be known, and rule_chain says why"


def test_lists_the_rules_name(directory: Path) -> None:
    """A list that makes no sense is a problem at its line, one that is not there a warning: it counts as empty until it is."""
    (directory / "etc" / "rules.toml").write_text(
        '[[rule]]\nname = "maps"\nclass = "jetmail.rules.checks.maps.Maps"\noptions = { lists = [\n'
        '  { file = "maps/block", what = "sender", action = "block" }, { file = "maps/none", what = "client", action = "allow" },\n] }\n'
    )
    (directory / "etc" / "maps").mkdir(exist_ok=True)
    (directory / "etc" / "maps" / "block").write_text("good.test\nre:(\n")
    bad, gone = checks.lists(config(directory))
    assert (bad.key, bad.is_warning) == ("line 2", False) and bad.file.endswith("maps/block")
    assert gone.is_warning and gone.file.endswith("maps/none") and "counts as empty" in gone.reason


def test_scanner_that_is_not_there(directory: Path) -> None:
    """The socket of a virus scanner that is asked must be there; mail waits until it is, so it is a warning."""
    rule = '[[rule]]\nname = "virus"\nclass = "jetmail.rules.checks.clamav.Clamav"\noptions = {{ enabled = {}, socket = "/nowhere/clamd.ctl" }}\n'
    (directory / "etc" / "rules.toml").write_text(rule.format("true"))
    (problem,) = checks.scanners(config(directory))
    assert problem.is_warning and problem.file.endswith("rules.toml") and problem.key == "virus.socket" and "/nowhere/clamd.ctl" in problem.reason
    (directory / "etc" / "rules.toml").write_text(rule.format("false"))
    assert not list(checks.scanners(config(directory)))


@pytest.fixture
def free_ports() -> list[int]:
    """Two that nobody listens on."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], two.getsockname()[1]]


def test_resolver_that_is_none(directory: Path) -> None:
    """What is no address of a resolver keeps jetmail from starting, and is a problem like any other."""
    (problem,) = checks.resolvers(config(directory, dns={"servers": ("192.0.2.1", "x")}))
    assert (problem.key, problem.is_warning) == ("dns.servers", False) and "x" in problem.reason
