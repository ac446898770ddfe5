"""What `jetmail check` looks at. Each check is a function of the settings that yields every Problem it sees; none of them changes anything.

A check never raises for what it looks at: not being able to look is a problem too. Ports are tried by opening them, unless jetmail runs on
this directory already and so holds them itself.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import dns.exception
import dns.resolver
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jetmail import config as settings
from jetmail import host, wiring
from jetmail.cli.wake import wake
from jetmail.dns import DnsOptions, server_addresses
from jetmail.errors import ConfigError, StoreError
from jetmail.inbound.policies import POSTMASTER, PolicyBook
from jetmail.interfaces import IDatabase
from jetmail.mail.address import Address
from jetmail.rules.policy import DomainState
from jetmail.store import migrations
from jetmail.store.database import InlineDatabase
from jetmail.store.directory import sources as directory_sources
from jetmail.store.directory.cache import Directory

DNS_SECONDS = 3.0
EXPIRY_NOTICE_DAYS = 14
T = TypeVar("T")
_SERVER = re.compile(r"\[(?P<six>[^\]]+)\](?::(?P<port6>\d+))?|(?P<four>[^:]+)(?::(?P<port4>\d+))?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `file` where, `key` which setting, `reason` what is wrong and what would be right. A warning does not keep mail from
    being taken and delivered today."""

    file: str
    key: str
    reason: str
    is_warning: bool = False


def all_problems(config_file: Path) -> list[Problem]:
    """Every problem of the directory with these settings. When the settings cannot be read, only theirs (and no guess about the rest)."""
    try:
        config = settings.load(config_file)
    except ConfigError as error:
        return [_from_text(problem) for problem in error.problems]
    problems: list[Problem] = []
    for look in CHECKS:
        try:
            problems.extend(look(config))
        except OSError as error:
            problems.append(Problem(str(error.filename or config.file), look.__name__.strip("_"), error.strerror or str(error)))
    return problems


def _from_text(text: str) -> Problem:
    file, _, rest = text.partition(": ")
    key, colon, reason = rest.partition(": ")
    return Problem(file, key, reason) if colon else Problem(file, "file", rest)


def rule_chain(config: settings.Config) -> Iterator[Problem]:
    """etc/rules.toml names rules that exist, with options that make sense, in an order that works."""
    from jetmail.rules import registry

    try:
        registry.load(config.rules_file)
    except ConfigError as error:
        yield from (_from_text(problem) for problem in error.problems)


def presets(config: settings.Config) -> Iterator[Problem]:
    """etc/providers.toml names settings that exist, with values that make sense."""
    from jetmail.outbound import providers

    try:
        providers.load(config.file.parent / providers.FILE_NAME)
    except ConfigError as error:
        yield from (_from_text(problem) for problem in error.problems)


def store(config: settings.Config) -> Iterator[Problem]:
    """The state directory is ours to write, the store's version is this program's and its file is sound."""
    nearest = config.state
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Problem(config.file.name, "server.state", f"{nearest} cannot be written by this user")
        return
    if not config.database.exists():
        return  # made at the first start
    try:
        version = migrations.schema_version(str(config.database))
    except StoreError as error:
        yield Problem(str(config.database), "store", str(error))
        return
    if version < migrations.SCHEMA_VERSION:
        yield Problem(str(config.database), "store", f"has schema {version}, this program {migrations.SCHEMA_VERSION}; run: jetmail migrate")
    elif version > migrations.SCHEMA_VERSION:
        yield Problem(str(config.database), "store", f"has schema {version}, made by a newer jetmail than this one ({migrations.SCHEMA_VERSION})")
    elif not os.access(config.database, os.W_OK):
        yield Problem(str(config.database), "store", "cannot be written by this user")


def user(config: settings.Config) -> Iterator[Problem]:
    """Whom the process becomes exists, and can read the program and its settings then: parts of it are read while it runs."""
    name = config.server.user
    try:
        owner = host.identity(name, config.server.group)
    except ConfigError as error:
        yield from (Problem(config.file.name, "server.user", problem.partition(": ")[2]) for problem in error.problems)
        return
    if owner is None:
        return
    for place in (Path(settings.__file__).parent, Path(sys.prefix), config.file.parent):
        if (wall := host.barred(place, name, owner)) is not None:
            yield Problem(
                config.file.name, "server.user", f"{name} may not read {place} (stopped at {wall}): put it elsewhere, such as /opt, or open it"
            )


def postmaster(config: settings.Config) -> Iterator[Problem]:
    """Mail to postmaster leads somewhere (RFC 5321 4.5.1). A warning: mail for everybody else is taken all the same."""
    name, given = (config.server.hostname or host.full_hostname()).lower(), wiring.postmaster(config)

    def leads_somewhere(db: InlineDatabase) -> bool:
        known = PolicyBook(Directory(IDatabase(db)), postmaster=given, hostname=name).recipient(Address(POSTMASTER, name))
        return known.policy.state is DomainState.ACTIVE and bool(known.targets)

    if _from_store(config, leads_somewhere) is False:
        why = f"{given} is nobody's address" if given else "is empty"
        reason = f"{why}, so mail to {POSTMASTER}@{name} is refused: give an address that somebody reads (RFC 5321 4.5.1)"
        yield Problem(config.file.name, "server.postmaster", reason, is_warning=True)


def disk(config: settings.Config) -> Iterator[Problem]:
    """There is more room than `min_free`, below which no mail is accepted."""
    nearest = config.state if config.state.exists() else config.root
    free = shutil.disk_usage(nearest).free
    if free < config.store.min_free:
        yield Problem(
            config.file.name, "store.min_free", f"{free} octets are free at {nearest}, less than {config.store.min_free}: no mail would be accepted"
        )


def certificate(config: settings.Config) -> Iterator[Problem]:
    """Certificate and key can be read, belong together and have not expired."""
    if not config.tls.certificate:
        return  # a self-signed one is made at the first start
    path = config.path(config.tls.certificate)
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        yield Problem(config.file.name, "tls.certificate", f"{path}: {getattr(error, 'strerror', None) or 'is not a certificate in PEM form'}")
        return
    left = (found.not_valid_after_utc - datetime.now(UTC)).days
    if left < 0:
        yield Problem(config.file.name, "tls.certificate", f"{path}: expired on {found.not_valid_after_utc:%Y-%m-%d}")
    elif left < EXPIRY_NOTICE_DAYS:
        yield Problem(
            config.file.name, "tls.certificate", f"{path}: expires on {found.not_valid_after_utc:%Y-%m-%d}, in {left} days", is_warning=True
        )
    key_path = config.path(config.tls.key)
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        yield Problem(
            config.file.name, "tls.key", f"{key_path}: {getattr(error, 'strerror', None) or 'is not an unencrypted private key in PEM form'}"
        )
        return
    if _public(key.public_key()) != _public(found.public_key()):
        yield Problem(config.file.name, "tls.key", f"{key_path}: does not belong to the certificate {path}")


def _public(key) -> bytes:  # type: ignore[no-untyped-def]
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def files(config: settings.Config) -> Iterator[Problem]:
    """Authorities and passwords that settings name can be read."""
    for key, name in (("delivery.ca_file", config.delivery.ca_file), ("ldap.ca_file", config.ldap.ca_file)):
        if not name:
            continue
        try:
            x509.load_pem_x509_certificates(config.path(name).read_bytes())
        except (OSError, ValueError) as error:
            yield Problem(config.file.name, key, f"{config.path(name)}: {getattr(error, 'strerror', None) or 'holds no certificates in PEM form'}")
    for wanted, read in ((config.delivery.smarthost_username, settings.password), (config.ldap.password_file, settings.ldap_password)):
        try:
            if wanted:
                read(config)
        except ConfigError as error:
            yield from (_from_text(problem) for problem in error.problems)


def ports(config: settings.Config) -> Iterator[Problem]:
    """Every port can be opened, or jetmail has them already."""
    if wake(config.socket):
        return
    wanted = [(f"listener[{index}].port", listener.address, listener.port) for index, listener in enumerate(config.listeners)]
    if config.web.port:
        wanted.append(("web.port", config.web.address, config.web.port))
    if config.api.port:
        wanted.append(("api.port", config.api.address, config.api.port))
    if config.web.policy_port:
        wanted.append(("web.policy_port", config.web.policy_address, config.web.policy_port))
    for number, (key, address, port) in enumerate(wanted):
        # Each alone could be opened now: two of ours on one port are seen nowhere else.
        others = [name for name, other, same in wanted[:number] if port and same == port and (other == address or not other or not address)]
        reason = f"port {port} is also {others[0]}" if others else port_problem(address, port)
        if reason:
            yield Problem(config.file.name, key, reason)


def port_problem(address: str, port: int) -> str:
    """Why this port cannot be listened on now; '' when it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if not port:
        return ""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:
            return f"port {port} needs root: start as root with `user` in [server], use systemd's sockets, or choose a port from 1024 on"
        except OSError as error:
            return f"port {port}{' of ' + address if address else ''} cannot be opened: {(error.strerror or str(error)).lower()}"
    return ""


def resolvers(config: settings.Config) -> Iterator[Problem]:
    """Every configured resolver answers at all (the answer itself does not matter)."""
    try:
        server_addresses(DnsOptions(servers=config.dns.servers))
    except ValueError as error:
        yield Problem(config.file.name, "dns.servers", str(error))
        return
    try:
        resolver = dns.resolver.Resolver(configure=not config.dns.servers)
    except (dns.exception.DNSException, OSError) as error:
        yield Problem("/etc/resolv.conf", "dns.servers", f"names no usable resolver: {error}", is_warning=True)
        return
    for text in config.dns.servers or tuple(str(server) for server in resolver.nameservers):
        parts = _SERVER.fullmatch(text)
        address, port = (
            (parts["six"] or parts["four"], parts["port6"] or parts["port4"]) if parts and ":" not in (parts["four"] or "") else (text, None)
        )
        one = dns.resolver.Resolver(configure=False)
        one.nameservers, one.port, one.lifetime = [address], int(port or 53), DNS_SECONDS
        try:
            one.resolve("localhost.", "SOA", raise_on_no_answer=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoNameservers):
            continue  # it spoke
        except (dns.exception.DNSException, OSError, ValueError):
            reason = f"{text} did not answer within {DNS_SECONDS:g} seconds: mail by name waits until it does"
            yield Problem(config.file.name, "dns.servers", reason, is_warning=True)  # a relay to fixed addresses works without


def sources(config: settings.Config) -> Iterator[Problem]:
    """Mail can leave from every address it is to leave from: it is this machine's."""
    for field in ("source_ipv4", "source_ipv6"):
        if (address := getattr(config.delivery, field)) and (reason := source_problem(address)):
            yield Problem(config.file.name, f"delivery.{field}", reason)
    known = _from_store(config, lambda db: db.read(directory_sources.listing)) or ()
    for source in known:
        for address in (source.ipv4, source.ipv6):
            if source.enabled and address and (reason := source_problem(address)):
                yield Problem(str(config.database), f"source {source.name}", reason)


def _from_store(config: settings.Config, ask: Callable[[InlineDatabase], T]) -> T | None:
    """What the store says; None where there is none that can be read, of which `store` speaks."""
    if not config.database.exists():
        return None
    try:
        if migrations.schema_version(str(config.database)) != migrations.SCHEMA_VERSION:
            return None
        database = InlineDatabase(str(config.database))
    except StoreError:
        return None
    try:
        return ask(database)
    finally:
        database.close()


def source_problem(address: str) -> str:
    """Why no connection can leave from this address; '' when one can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return f"mail cannot leave from {address}: {(error.strerror or str(error)).lower()}; is it an address of this machine?"
    return ""


CHECKS: tuple[Callable[[settings.Config], Iterator[Problem]], ...] = (
    rule_chain,
    presets,
    store,
    user,
    postmaster,
    disk,
    certificate,
    files,
    ports,
    sources,
    resolvers,
)
