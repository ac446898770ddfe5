"""Recipients looked up in LDAP or Active Directory (RFC 4511, 4513, 4515): one search a question, over a few connections that are kept.

ldap3 blocks, so every search runs on a thread of the executor, no more of them at a time than `connections`, so that a directory that hangs leaves
threads for everybody else; connecting and answering each take at most `timeout` seconds. When no server answers, those who wait and whoever asks
within DOWN_FOR are answered FAULT without asking. What is searched for is escaped (RFC 4515 3); a password is sent over TLS only (config.py sees to
it).

`ask` never fails: what goes wrong is FAULT, and logged. ldap3 is imported when the first question is asked: it is 4 MB that few need.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jetmail.interfaces import Existence, IExecutor
from jetmail.mail.address import Address

DOWN_FOR = 15.0
_PLACE = re.compile(r"\{(?:address|local|domain)\}")

_log = Logger()


@dataclass(frozen=True, slots=True)
class LdapOptions:
    """`servers`: ldap:// or ldaps:// addresses, tried in order. `starttls` for the former. `ca_file` '' is the system's. `bind_dn` '' binds
    anonymously. `base` and `filter` may hold {address}, {local} and {domain}. `timeout` seconds; `connections` at a time."""

    servers: tuple[str, ...]
    base: str
    filter: str = "(|(mail={address})(proxyAddresses=smtp:{address}))"
    starttls: bool = True
    ca_file: str = ""
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 5.0
    connections: int = 2


class Directory:
    """One LDAP directory."""

    def __init__(self, executor: IExecutor, clock: IReactorTime, options: LdapOptions) -> None:
        self._executor = executor
        self._clock = clock
        self._options = options
        self._turns = DeferredSemaphore(options.connections)
        self._idle: deque[Any] = deque(maxlen=options.connections)  # its append and pop are safe between threads
        self._down_until = float("-inf")

    def ask(self, address: Address) -> Deferred[Existence]:
        """Whether an entry matches the address, or the address without its tag."""
        if self._clock.seconds() < self._down_until:
            return succeed(Existence.FAULT)
        return self._turns.run(self._turn, address)

    def _turn(self, address: Address) -> Deferred[Existence]:
        """When there is a connection for it. Whoever has waited while the directory was found dead does not try it once more."""
        if self._clock.seconds() < self._down_until:
            return succeed(Existence.FAULT)
        return self._executor.run(self._thd_exists, address).addCallbacks(self._found, self._failed)

    def close(self) -> None:
        """Let the kept connections go."""
        while self._idle:
            _unbind(self._idle.pop())

    def _found(self, exists: bool) -> Existence:
        return Existence.YES if exists else Existence.NO

    def _failed(self, failure: Failure) -> Existence:
        self._down_until = self._clock.seconds() + DOWN_FOR
        _log.error("LDAP: no directory answers: {reason}", reason=f"{type(failure.value).__name__}: {failure.getErrorMessage()}"[:300])
        return Existence.FAULT

    # on a thread

    def _thd_exists(self, address: Address) -> bool:
        from ldap3.core.exceptions import LDAPException

        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:
                return self._thd_search(kept, address)
            except (LDAPException, OSError):
                _unbind(kept)  # it had ended: once more with a fresh one
        error: Exception | None = None
        for server in self._options.servers:
            connection = None
            try:
                connection = self._thd_connect(server)
                return self._thd_search(connection, address)
            except (LDAPException, OSError) as problem:
                _unbind(connection)
                error = problem
        raise error if error is not None else OSError("no server is configured")

    def _thd_search(self, connection: Any, address: Address) -> bool:
        from ldap3.core.exceptions import LDAPException
        from ldap3.utils.conv import escape_filter_chars
        from ldap3.utils.dn import escape_rdn

        options = self._options
        exists = False
        for each in _spellings(address):
            base, query = _filled(options.base, each, escape_rdn), _filled(options.filter, each, escape_filter_chars)
            connection.search(base, query, attributes=["1.1"], size_limit=2, time_limit=max(1, int(options.timeout)))
            exists = any(entry.get("type") == "searchResEntry" for entry in connection.response or ())
            if exists:
                break
            if connection.result["result"] != 0:  # time limit, referral: ldap3 raises for neither, and neither says that nobody is there
                raise LDAPException(f"the search ended with {connection.result['description']}")
        self._idle.append(connection)
        return exists

    def _thd_connect(self, server: str) -> Any:
        import ldap3

        options = self._options
        place = ldap3.Server(server, tls=_checked_tls(options.ca_file), get_info=ldap3.NONE, connect_timeout=options.timeout)
        connection = ldap3.Connection(
            place,
            user=options.bind_dn or None,
            password=options.password or None,
            authentication=ldap3.SIMPLE if options.bind_dn else ldap3.ANONYMOUS,
            receive_timeout=max(1, round(options.timeout)),  # ldap3 hands it to the kernel as a whole number
            read_only=True,
            raise_exceptions=True,
            auto_referrals=False,
        )
        connection.open()
        if options.starttls and not place.ssl:
            connection.start_tls(read_server_info=False)
        if (options.starttls or place.ssl) and not isinstance(connection.socket, ssl.SSLSocket):
            raise OSError("no TLS, so no password")
        connection.bind()
        return connection


def _checked_tls(ca_file: str) -> Any:
    """TLS whose certificate and host name OpenSSL checks (RFC 4513 3.1.3). ldap3 checks the name itself, and from Python 3.12 on no addresses."""
    import ldap3

    class CheckedTls(ldap3.Tls):
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
            context = ssl.create_default_context(cafile=ca_file or None)
            connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)

    return CheckedTls(validate=ssl.CERT_REQUIRED)


def _spellings(address: Address) -> list[Address]:
    return [address] if address.untagged is address else [address, address.untagged]


def _filled(text: str, address: Address, escape: Callable[[str], str]) -> str:
    values = {"{address}": str(address), "{local}": address.local, "{domain}": address.domain}
    return _PLACE.sub(lambda found: escape(values[found[0]]), text)


def _unbind(connection: Any) -> None:
    if connection is None:
        return
    try:
        connection.unbind()
    except Exception:  # it is being thrown away
        return
