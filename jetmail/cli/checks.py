"""What `jetmail check` looks at. Each check is a function of the settings that yields every Problem it sees; none of them changes anything.

A check never raises for what it looks at: not being able to look is a problem too. Ports are tried by opening them, unless jetmail runs on
this directory already and so holds them itself.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import dns.exception
import dns.resolver

from jetmail import config as settings
from jetmail import host, wiring
from jetmail.cli.file_checks import certificate, files, lists, policy_certificates, scanners, scores
from jetmail.cli.problem import Problem, from_text
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
T = TypeVar("T")


def all_problems(config_file: Path) -> list[Problem]:
    """Every problem of the directory with these settings. When the settings cannot be read, only theirs (and no guess about the rest)."""
    try:
        config = settings.load(config_file)
    except ConfigError as error:
        return [from_text(problem) for problem in error.problems]
    problems: list[Problem] = []
    for look in CHECKS:
        try:
            problems.extend(look(config))
        except OSError as error:
            problems.append(Problem(str(error.filename or config.file), look.__name__.strip("_"), error.strerror or str(error)))
    return problems


def rule_chain(config: settings.Config) -> Iterator[Problem]:
    """etc/rules.toml names rules that exist, with options that make sense, in an order that works."""
    from jetmail.rules import registry

    try:
        registry.load(config.rules_file)
    except ConfigError as error:
        yield from (from_text(problem) for problem in error.problems)


def presets(config: settings.Config) -> Iterator[Problem]:
    """etc/providers.toml names settings that exist, with values that make sense."""
    from jetmail.outbound import providers

    try:
        providers.load(config.file.parent / providers.FILE_NAME)
    except ConfigError as error:
        yield from (from_text(problem) for problem in error.problems)


def store(config: settings.Config) -> Iterator[Problem]:
    """The state directory is ours to write, the store's version is this program's and its file is sound."""
    nearest = config.state
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        yield Problem(config.file.name, "server.state", f"{nearest} is not a directory")
        return
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
        yield from (from_text(f"{config.file.name}: {problem}") for problem in error.problems)
        return
    if owner is None:
        return
    for place in (Path(settings.__file__).parent, Path(sys.prefix), config.file.parent):
        if (wall := host.barred(place, name, owner)) is not None:
            yield Problem(
                config.file.name, "server.user", f"{name} may not read {place} (stopped at {wall}): put it elsewhere, such as /opt, or open it"
            )
    # These are read while it runs. A certificate was read as root by then, and its renewal is what goes unseen.
    for key, given, is_warning in (
        ("tls.certificate", config.tls.certificate, True),
        ("tls.key", config.tls.key, True),
        ("ldap.ca_file", config.ldap.ca_file, False),
        ("web.policy_certificates", config.web.policy_certificates, False),
    ):
        path = config.path(given)
        if given and path.exists() and (wall := host.barred(path, name, owner)) is not None:
            then = ", so it is not read again when it is renewed" if is_warning else ""
            yield Problem(config.file.name, key, f"{name} may not read {path} (stopped at {wall}){then}", is_warning)


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
        configured = server_addresses(DnsOptions(servers=config.dns.servers)) if config.dns.servers else ()
    except ValueError as error:
        yield Problem(config.file.name, "dns.servers", str(error))
        return
    try:
        resolver = dns.resolver.Resolver(configure=not configured)
    except (dns.exception.DNSException, OSError) as error:
        yield Problem("/etc/resolv.conf", "dns.servers", f"names no usable resolver: {error}", is_warning=True)
        return
    for address, port in configured or tuple((str(server), 53) for server in resolver.nameservers):
        one = dns.resolver.Resolver(configure=False)
        one.nameservers, one.port, one.lifetime = [address], port, DNS_SECONDS
        try:
            one.resolve("localhost.", "SOA", raise_on_no_answer=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoNameservers):
            continue  # it spoke
        except (dns.exception.DNSException, OSError, ValueError):
            reason = f"{host.bracketed(address)}:{port} did not answer within {DNS_SECONDS:g} seconds: mail by name waits until it does"
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
    scores,
    lists,
    scanners,
    presets,
    store,
    user,
    postmaster,
    disk,
    certificate,
    policy_certificates,
    files,
    ports,
    sources,
    resolvers,
)
