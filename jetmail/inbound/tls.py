"""TLS as a server: the certificate each client is shown, read again when its files change, and the self-signed one of a first start.

`ServerTls` is what a transport's startTLS is given. Every handshake looks at the modification time, size and inode of the files, so a renewed
certificate serves the next connection without a restart; files that do not fit together (half written, key of another certificate) are logged once
and the old pair stays. Clients that send a name (SNI) get the certificate configured for it, or the one in `folder/<name>.pem` (key, certificate and
chain in one file), others and unknown names the default one.

TLS 1.2 and newer; no compression, no renegotiation, no session cache.

Raises ConfigError (files that cannot be used at start); never later.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.errors import ConfigError

# Mail between strangers: whoever cannot do better still gets forward secrecy where possible; nothing broken, nothing anonymous.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:AESGCM:AES:!aNULL:!eNULL:!MD5:!DSS:!PSK:!SRP"
_SELF_SIGNED_DAYS = 3_650

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9-]{1,63})+")  # nothing that leads out of a folder
MAX_NAMES = 10_000

State = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    key: Path

    def state(self) -> State:
        """Changes when a file does. Raises OSError."""
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in (os.stat(self.certificate), os.stat(self.key)))


class _Served:
    """One certificate as it is served now."""

    __slots__ = ("_seen", "context", "files")

    def __init__(self, files: CertificateFiles, owner: ServerTls) -> None:
        self.files = files
        self._seen = files.state()
        self.context = owner.build(files)

    def refresh(self, owner: ServerTls) -> SSL.Context:
        try:
            state = self.files.state()
            if state != self._seen:
                self._seen = state
                self.context = owner.build(self.files)
                owner.log.info("certificate read again", certificate=self.files.certificate)
        except (OSError, SSL.Error) as error:
            # Also when a file is being replaced just now: the next change of state is looked at again.
            owner.log.error("certificate cannot be read, the old one stays", certificate=self.files.certificate, problem=_told(error))
        return self.context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The certificates of this server. `by_name`: host name, or '*.domain' for one label, to files; `folder`: files that may come and go."""

    def __init__(self, default: CertificateFiles, by_name: Mapping[str, CertificateFiles] | None = None, folder: Path | None = None) -> None:
        self.log = Logger()
        self._folder = folder
        self._in_folder: dict[str, _Served] = {}
        self._broken: dict[str, State] = {}
        problems: list[str] = []
        self._default = self._load(default, problems)
        self._by_name = {name.lower(): self._load(files, problems) for name, files in (by_name or {}).items()}
        if problems:
            raise ConfigError(problems)

    def _load(self, files: CertificateFiles, problems: list[str]) -> _Served:
        try:
            return _Served(files, self)
        except (OSError, SSL.Error) as error:
            problems.append(f"{files.certificate}: {files.key}: cannot be used for TLS: {_told(error)}")
            return None  # type: ignore[return-value]  # never seen: the constructor raises

    def build(self, files: CertificateFiles) -> SSL.Context:
        """A context that serves `files`. Raises OSError or SSL.Error."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection holds no record buffers
        context.set_cipher_list(_CIPHERS)
        context.use_certificate_chain_file(str(files.certificate))
        context.use_privatekey_file(str(files.key))
        context.check_privatekey()
        context.set_tlsext_servername_callback(self._named)
        return context

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Twisted calls this for every handshake."""
        return SSL.Connection(self._default.refresh(self), None)

    def _named(self, connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower().rstrip(".")
        served = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2]) or self._from_folder(name)
        if served is not None:
            connection.set_context(served.refresh(self))

    def _from_folder(self, name: str) -> _Served | None:
        """The certificate of a file of that name, looked for at each handshake as long as there is none."""
        if self._folder is None or not _NAME.fullmatch(name):
            return None
        if (served := self._in_folder.get(name)) is not None:
            return served
        path = self._folder / f"{name}.pem"
        files = CertificateFiles(path, path)
        try:
            state = files.state()
        except OSError:
            return None
        try:
            if self._broken.get(name) == state:
                return None
            served = _Served(files, self)
        except (OSError, SSL.Error) as error:
            self._broken[name] = state
            self.log.error("certificate cannot be read, the default one is shown", certificate=path, problem=_told(error))
            return None
        if len(self._in_folder) >= MAX_NAMES:
            self._in_folder.clear()
        self._in_folder[name] = served
        return served


def ensure_certificate(files: CertificateFiles, hostname: str, now: float) -> bool:
    """Make a self-signed certificate for `hostname` unless both files exist. True: it was made just now, which should be said.
    Raises ConfigError when only one of the files exists, or they cannot be written."""
    have_certificate, have_key = files.certificate.exists(), files.key.exists()
    if have_certificate and have_key:
        return False
    if have_certificate or have_key:
        present, absent = (files.certificate, files.key) if have_certificate else (files.key, files.certificate)
        raise ConfigError([f"{absent}: missing, but {present} exists: give both files or neither"])
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        files.key.parent.mkdir(parents=True, exist_ok=True)
        files.certificate.parent.mkdir(parents=True, exist_ok=True)
        _write(files.key, secret, 0o600)
        _write(files.certificate, self_signed(key, hostname, now), 0o644)
    except OSError as error:
        raise ConfigError([f"{files.key}: cannot write a self-signed certificate: {error.strerror or error}"]) from error
    return True


def self_signed(key: ec.EllipticCurvePrivateKey, hostname: str, now: float) -> bytes:
    """A self-signed server certificate for `hostname` as PEM, valid for ten years."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    today = datetime.fromtimestamp(now, UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(hostname.strip("[]")))
    except ValueError:
        alternative = x509.DNSName(hostname)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(hours=1))  # for peers whose clock is behind ours
        .not_valid_after(today + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, octets: bytes, mode: int) -> None:
    # Under another name first: a crash leaves no half-written file that looks like a certificate. The mode is there from the first moment.
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(reason[-1]) for reason in reasons) or "certificate and key do not fit together"
