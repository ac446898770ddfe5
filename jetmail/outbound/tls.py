"""TLS towards the hosts we deliver to: how strict, with what trust, and what came of it.

Four modes per destination. `none` never asks. `opportunistic` takes what it gets and records whether the certificate happened to be good;
a handshake that fails sends the mail in clear text on a fresh connection, and the host is remembered as broken for a while. `required`
wants TLS 1.2 or later and accepts any certificate, or the one that a Proof (TLSA records) asks for. `verified` wants a chain to a trusted root and
a certificate that names the host (RFC 6125 by service-identity); anything less and nothing is sent (RFC 8314, RFC 8689 use it).

Sessions and tickets are never kept, so none can be offered to another host. Trust comes from the file named in the options, or from the system's
bundle.

ClientTls raises ConfigError when its CA file cannot be read; handshakes raise nothing: `facts` tells what a finished one is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from OpenSSL import SSL, crypto
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from jetmail.errors import ConfigError
from jetmail.mailauth import dane
from jetmail.outbound.demand import Proof

_MAX_BROKEN = 10_000  # hosts remembered; the oldest go first
_CHAIN_PROBLEMS = {  # X509_V_ERR_* of openssl/x509_vfy.h: those a person meets
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "certificate is self-signed",
    19: "certificate chain ends in an unknown root",
    20: "certificate has an unknown issuer",
    21: "certificate chain is incomplete",
    23: "certificate is revoked",
    26: "certificate is not for servers",
}


class TlsMode(StrEnum):
    """As in the directory's `tls` column; ordered from lax to strict by `is_mandatory` and `is_verified`."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"
    VERIFIED = "verified"

    @property
    def is_mandatory(self) -> bool:
        """Nothing may be said in clear text."""
        return self in (TlsMode.REQUIRED, TlsMode.VERIFIED)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """`ca_file`: PEM bundle, '' is the system's. `broken_seconds`: how long an opportunistic host whose handshake failed gets clear text at once."""

    ca_file: str = ""
    broken_seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a finished handshake gave. `problem` says why `verified` is False, `result` the same as a result type of RFC 8460 section 4.3."""

    version: str
    cipher: str
    verified: bool
    problem: str = ""
    result: str = ""


class ClientTls:
    """Makes the connection creators, and remembers which hosts cannot do TLS. `seconds` is the clock's."""

    def __init__(self, options: TlsOptions, seconds: Callable[[], float]) -> None:
        self._options = options
        self._seconds = seconds
        self._contexts: dict[bool, SSL.Context] = {}
        self._broken: dict[str, float] = {}
        if options.ca_file:
            self._context(strict=True)  # a wrong file is for whoever starts the process, not for the first message

    def creator(self, host: str, mode: TlsMode, proof: Proof | None = None) -> HostTls:
        """The argument for `startTLS` towards `host`, new for every connection. With a `proof`, that alone is what verifies it."""
        return HostTls(self._context(mode.is_mandatory), host, mode is TlsMode.VERIFIED, proof, self._seconds)

    def is_broken(self, host: str) -> bool:
        """True when an opportunistic handshake with `host` failed not long ago."""
        until = self._broken.get(host)
        if until is None:
            return False
        if until > self._seconds():
            return True
        del self._broken[host]
        return False

    def mark_broken(self, host: str) -> None:
        """An opportunistic handshake with `host` failed: do not ask again for a while."""
        self._broken.pop(host, None)
        if len(self._broken) >= _MAX_BROKEN:
            del self._broken[next(iter(self._broken))]
        self._broken[host] = self._seconds() + self._options.broken_seconds

    def _context(self, strict: bool) -> SSL.Context:
        context = self._contexts.get(strict)
        if context is None:
            context = self._contexts[strict] = self._new_context(strict)
        return context

    def _new_context(self, strict: bool) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        # RFC 7435: an old version is still better than clear text where nothing was promised.
        context.set_min_proto_version(SSL.TLS1_2_VERSION if strict else SSL.TLS1_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        try:
            if self._options.ca_file:
                context.load_verify_locations(self._options.ca_file)
            else:
                context.set_default_verify_paths()
        except SSL.Error as error:
            raise ConfigError([f"delivery.tls.ca_file: {self._options.ca_file} holds no readable PEM certificates"]) from error
        return context


@implementer(IOpenSSLClientConnectionCreator)
class HostTls:
    """One handshake with one host: creates the connection, writes down what the verification said."""

    def __init__(self, context: SSL.Context, host: str, strict: bool, proof: Proof | None, seconds: Callable[[], float]) -> None:
        self._context = context
        self._host = host
        self._strict = strict
        self._proof = proof
        self._seconds = seconds
        self.chain_problem = ""
        self.result = "validation-failure"  # until something better is known

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not _is_address(self._host):
            connection.set_tlsext_host_name(self._host.encode("ascii"))  # RFC 6066 3: names only
        connection.set_verify(SSL.VERIFY_PEER, self._verify)
        return connection

    def facts(self, connection: SSL.Connection) -> TlsFacts:
        """What the finished handshake on `connection` is worth."""
        if self._proof is not None:
            chain = [dump_certificate(FILETYPE_ASN1, one) for one in connection.get_peer_cert_chain() or ()]
            problem = dane.problem(self._proof.records, chain, self._proof.names, self._seconds())
        elif problem := self.chain_problem:
            pass
        elif problem := self._name_problem(connection):
            self.result = "certificate-host-mismatch"
        result = self.result if problem else ""
        return TlsFacts(connection.get_protocol_version_name(), connection.get_cipher_name() or "", not problem, problem, result)

    def _verify(self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
        if not ok and not self.chain_problem:
            self.chain_problem = _CHAIN_PROBLEMS.get(code, f"certificate refused (X.509 error {code})")
            if self._proof is None:
                self.result = "certificate-expired" if code in (9, 10) else "certificate-not-trusted"
        return bool(ok) or not self._strict

    def _name_problem(self, connection: SSL.Connection) -> str:
        try:
            if _is_address(self._host):
                verify_ip_address(connection, self._host)
            else:
                verify_hostname(connection, self._host)
        except (VerificationError, CertificateError):
            return f"certificate does not name {self._host}"
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
