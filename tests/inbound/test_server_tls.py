"""TLS as a server: STARTTLS and TLS at once, certificates that change, names, and the first start."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred

from jetmail.errors import ConfigError
from jetmail.inbound.tls import CertificateFiles, ServerTls, ensure_certificate, self_signed
from jetmail.mail.reply import Reply
from tests.inbound.wire import House, TlsClient

NOW = 1_800_000_000.0


def make(folder: Path, name: str) -> CertificateFiles:
    """A certificate for `name` in `folder`."""
    files = CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key")
    ensure_certificate(files, name, NOW)
    return files


def rewrite(files: CertificateFiles, name: str) -> None:
    """Replace both files, as a renewal does."""
    key = ec.generate_private_key(ec.SECP256R1())
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(self_signed(key, name, NOW))


def shown(tls: ServerTls, name: str | None = None, **context: Any) -> str:
    """The name in the certificate a client is shown that asks for `name`."""
    house = House("submissions", tls)
    client = TlsClient(house.connect(), name, **context)
    try:
        client.handshake()
    finally:
        house.end()
    certificate = x509.load_der_x509_certificate(client.certificate)
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    """A server's TLS with one certificate."""
    return ServerTls(make(tmp_path, "mx.test"))


def test_first_start(tmp_path: Path) -> None:
    """Without files a self-signed certificate for the host name is made, once, its key for the owner's eyes only."""
    files = CertificateFiles(tmp_path / "new" / "cert.pem", tmp_path / "new" / "key.pem")
    assert ensure_certificate(files, "mx.test", NOW)
    assert not ensure_certificate(files, "mx.test", NOW)
    assert stat.S_IMODE(os.stat(files.key).st_mode) == 0o600
    assert sorted(path.name for path in files.key.parent.iterdir()) == ["cert.pem", "key.pem"]
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == ["mx.test"]
    assert certificate.not_valid_before_utc.timestamp() < NOW < certificate.not_valid_after_utc.timestamp()
    assert shown(ServerTls(files)) == "mx.test"


def test_half_a_pair(tmp_path: Path) -> None:
    """A certificate without its key, or a key alone, is a fault of the settings, and nothing is written over."""
    files = make(tmp_path, "mx.test")
    files.key.unlink()
    with pytest.raises(ConfigError, match="missing"):
        ensure_certificate(files, "mx.test", NOW)
    assert not files.key.exists()


def test_unusable_files(tmp_path: Path) -> None:
    """Files that are no pair, or not there, are refused at start, all at once."""
    files, other = make(tmp_path, "mx.test"), make(tmp_path, "other.test")
    with pytest.raises(ConfigError) as caught:
        ServerTls(CertificateFiles(files.certificate, other.key), {"x.test": CertificateFiles(tmp_path / "no", tmp_path / "no")})
    assert len(caught.value.problems) == 2


def test_renewed(tmp_path: Path) -> None:
    """A renewed certificate serves the next handshake; files that do not fit leave the old one in place until they do."""
    files = make(tmp_path, "mx.test")
    tls = ServerTls(files)
    assert shown(tls) == "mx.test"
    rewrite(files, "renewed.test")
    assert shown(tls) == "renewed.test"
    other = make(tmp_path, "other.test")
    files.certificate.write_bytes(other.certificate.read_bytes())
    assert shown(tls) == "renewed.test"
    files.key.write_bytes(other.key.read_bytes())
    assert shown(tls) == "other.test"
    files.key.unlink()
    assert shown(tls) == "other.test"


def test_names(tmp_path: Path) -> None:
    """A client that names a host is shown its certificate; unknown names and silent clients see the default one."""
    tls = ServerTls(make(tmp_path, "mx.test"), {"a.test": make(tmp_path, "a.test"), "*.B.test": make(tmp_path, "b.test")})
    names = {
        None: "mx.test",
        "a.test": "a.test",
        "A.TEST": "a.test",
        "x.b.test": "b.test",
        "b.test": "mx.test",
        "x.y.b.test": "mx.test",
        "c.test": "mx.test",
    }
    assert {name: shown(tls, name) for name in names} == names


def test_folder(tmp_path: Path) -> None:
    """A file of the name that is asked for is shown as soon as it is there and whenever it changes; one that is broken leaves the default."""
    folder = tmp_path / "names"
    folder.mkdir()
    tls = ServerTls(make(tmp_path, "mx.test"), folder=folder)

    def put(name: str) -> None:
        files = make(tmp_path, name)
        (folder / "mta-sts.a.test.pem").write_bytes(files.key.read_bytes() + files.certificate.read_bytes())

    assert shown(tls, "mta-sts.a.test") == "mx.test"
    (folder / "mta-sts.a.test.pem").write_text("nothing")
    assert [shown(tls, "mta-sts.a.test") for _ in range(2)] == ["mx.test"] * 2
    put("first.test")
    assert (shown(tls, "MTA-STS.a.test"), shown(tls, "mta-sts.b.test")) == ("first.test", "mx.test")
    put("second.test")
    assert shown(tls, "mta-sts.a.test") == "second.test"
    (tmp_path / "outside.test.pem").write_bytes((folder / "mta-sts.a.test.pem").read_bytes())
    assert [tls._from_folder(name) for name in ("../outside.test", "", "mta-sts", "a..test", "x" * 300 + ".test")] == [None] * 5


def test_old_versions(tls: ServerTls) -> None:
    """TLS 1.2 is spoken, TLS 1.1 is not."""
    assert shown(tls, maximum_version=ssl.TLSVersion.TLSv1_2) == "mx.test"
    with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, AssertionError)):
        shown(tls, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def test_starttls(tls: ServerTls) -> None:
    """STARTTLS switches the connection, tells the receiver version and cipher, and forgets the EHLO."""
    house = House("mx", tls)
    wire = house.connect()
    wire.say(b"EHLO c", b"MAIL FROM:<a@b.test>")
    assert wire.say(b"STARTTLS") == b"220 2.0.0 Ready to start TLS\r\n"
    client = TlsClient(wire)
    client.handshake()
    assert house.receiver.asked[-2:] == [("abort",), ("tls_started", "TLSv1.3", client.tls.cipher()[0])]
    assert client.say(b"MAIL FROM:<a@b.test>") == b"503 5.5.1 EHLO first\r\n"
    assert b"250 REQUIRETLS\r\n" in client.say(b"EHLO c")
    assert client.say(b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"DATA").count(b"\r\n") == 3
    assert client.say(b"x", b".") == b"250 2.0.0 OK\r\n"
    assert client.say(b"QUIT") == b"221 2.0.0 Bye\r\n"
    assert wire.closed
    house.end()


def test_injection(tls: ServerTls) -> None:
    """A command behind STARTTLS in the same segment, or while the transaction is being aborted, ends the connection unanswered."""
    aborting: Deferred[None] = Deferred()
    for answers in ({}, {"abort": aborting}):
        house = House("mx", tls, answers)
        wire = house.connect()
        wire.say(b"EHLO c", b"MAIL FROM:<a@b.test>")
        assert wire.say(b"STARTTLS", b"RSET") == b""
        if answers:
            aborting.callback(None)
        assert wire.closed == "half" and wire.read() == b"" and not wire.TLS
        house.end()


def test_tls_at_once(tls: ServerTls) -> None:
    """On the submissions port nothing is said in clear; the receiver knows of TLS before it is asked for the banner."""
    house = House("submissions", tls, {"auth": Reply(235, "2.7.0", "Welcome")})
    wire = house.connect()
    assert wire.TLS and wire.out == b""
    client = TlsClient(wire)
    client.handshake()
    assert client.say() == b"220 mx.test ESMTP jetmail\r\n"
    assert house.receiver.methods == ["tls_started", "connected"]
    assert b"250 AUTH PLAIN LOGIN\r\n" in client.say(b"EHLO c")
    assert client.say(b"AUTH PLAIN AHVzZXIAcHc=") == b"235 2.7.0 Welcome\r\n"
    assert house.receiver.asked[-1] == ("auth", "PLAIN", "user", "pw")
    house.end()


def test_tls_at_once_behind_a_proxy(tls: ServerTls) -> None:
    """The PROXY header comes in clear, and the ClientHello may follow in the same segment."""
    house = House("submissions", tls, proxy_from=("10.0.0.1",))
    wire = house.connect("10.0.0.1")
    client = TlsClient(wire)
    wire.deliver(b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 465\r\n" + client.first())
    client.handshake()
    assert client.say().startswith(b"220 ")
    assert house.peers[0].address == "198.51.100.7"
    house.end()


def test_refused_before_tls_is_refused_in_silence(tls: ServerTls) -> None:
    """Where TLS comes first there is no clear text, not even 421."""
    house = House("submissions", tls, limits={"max_connections": 1})
    house.connect()
    wire = house.connect()
    assert (wire.out, wire.closed) == (b"", "lose")
    house.end()


def test_handshake_that_never_comes(tls: ServerTls) -> None:
    """A minute is enough for a handshake, at the start or after STARTTLS."""
    for kind in ("mx", "submissions"):
        house = House(kind, tls)
        wire = house.connect()
        if kind == "mx":
            wire.say(b"EHLO c", b"STARTTLS")
        house.pass_time(70)
        assert wire.closed == "abort"
        house.end()


def test_clear_text_instead_of_a_handshake(tls: ServerTls) -> None:
    """Commands where a handshake belongs are not executed."""
    house = House("mx", tls)
    wire = house.connect()
    wire.say(b"EHLO c", b"STARTTLS")
    wire.deliver(b"MAIL FROM:<a@b.test>\r\n")
    assert "mail" not in house.receiver.methods
    assert wire.closed
    house.end()
