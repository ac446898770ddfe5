"""The sysadmin's settings: etc/jetmail.toml -> one frozen Config.

Promises
- Every setting is declared once, in sections.py, with its default, its bounds and a sentence; etc/jetmail.toml and docs/configuration.md are
  checked against these declarations by tests.
- Unknown keys are refused. Every fault of the file is listed at once as 'file: key: reason'.
- What people change while it runs (domains, users, rules, thresholds) is in the store, not here.
- Paths are relative to the root directory, which holds etc/ and var/.

Raises ConfigError.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jetmail.errors import ConfigError
from jetmail.mail.address import parse as parse_address
from jetmail.sections import (
    Api,
    Delivery,
    Dns,
    Domains,
    Ldap,
    Listener,
    Log,
    Queue,
    Reports,
    Returns,
    Server,
    Smtp,
    Store,
    Submission,
    Suppression,
    Tls,
    Verify,
    Web,
    Webhooks,
)
from jetmail.settings import as_toml, converter, faults, sample

FILE_NAME = "jetmail.toml"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, with defaults filled in. `root` is the directory that holds etc/ and var/; `file` where it was read from."""

    root: Path
    file: Path
    server: Server = Server()
    store: Store = Store()
    listener: tuple[Listener, ...] = ()
    smtp: Smtp = Smtp()
    submission: Submission = Submission()
    suppression: Suppression = Suppression()
    returns: Returns = Returns()
    tls: Tls = Tls()
    queue: Queue = Queue()
    delivery: Delivery = Delivery()
    verify: Verify = Verify()
    domains: Domains = Domains()
    reports: Reports = Reports()
    ldap: Ldap = Ldap()
    dns: Dns = Dns()
    web: Web = Web()
    api: Api = Api()
    webhooks: Webhooks = Webhooks()
    log: Log = Log()

    def path(self, name: str) -> Path:
        """A path of the configuration, relative ones to the root."""
        return self.root / name

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.path(self.server.state)

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.state / "jetmail.db"

    @property
    def rules_file(self) -> Path:
        """The rule chain."""
        return self.file.parent / "rules.toml"

    @property
    def socket(self) -> Path:
        """The local socket the command line wakes the process by."""
        return self.state / "jetmail.sock"

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners, or the three usual ones when none is configured."""
        return self.listener or (Listener(), Listener(kind="submission", port=587), Listener(kind="submissions", port=465))


SECTIONS: tuple[type, ...] = (
    Server,
    Store,
    Listener,
    Smtp,
    Submission,
    Suppression,
    Returns,
    Tls,
    Queue,
    Delivery,
    Verify,
    Domains,
    Reports,
    Ldap,
    Dns,
    Web,
    Api,
    Webhooks,
    Log,
)


def load(file: Path | str) -> Config:
    """Read and check a file. Raises ConfigError with every fault."""
    file = Path(file).resolve()
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError([f"{file}: the file does not exist (bin/jetmail init DIR makes one)"]) from error
    except (OSError, ValueError, RecursionError) as error:  # numbers of 5,000 digits and tables a thousand deep included
        raise ConfigError([f"{file}: {error}"]) from error
    return parse(raw, file)


def parse(raw: dict[str, Any], file: Path) -> Config:
    """Check settings already read from `file`. Raises ConfigError with every fault."""
    root = file.parent.parent if file.parent.name == "etc" else file.parent
    problems: list[str] = []
    sections: dict[str, Any] = {}
    known = {field.name: field for field in dataclasses.fields(Config) if field.name not in ("root", "file")}
    hints = typing.get_type_hints(Config)
    for key, value in raw.items():
        if key not in known:
            problems.append(f"{file.name}: {key}: unknown section (known: {', '.join(known)})")
            continue
        try:
            sections[key] = converter(SECTIONS).structure(value, hints[key])
        except Exception as error:
            problems += [f"{file.name}: {key}{'.' if at and at[0] != '[' else ''}{at}: {reason}" for at, reason in faults(error)]
    config = Config(root, file, **sections)
    problems += [f"{file.name}: {problem}" for problem in _contradictions(config)]
    if problems:
        raise ConfigError(problems)
    return config


def with_ports(config: Config, ports: Mapping[str, int | None], http_port: int | None = None) -> Config:
    """The same with other ports: `ports` maps a listener kind to a port or None (unchanged). When the file names no listener, only the kinds
    given here are opened (so that one port can be tried without being root); a configured listener keeps its address."""
    given = {kind: port for kind, port in ports.items() if port is not None}
    for port in (*given.values(), http_port or 0):
        if not 0 <= port <= 65_535:
            raise ConfigError([f"port {port}: is not between 0 and 65535"])
    listeners = list(config.listener)
    for kind, port in given.items():
        place = next((index for index, each in enumerate(listeners) if each.kind == kind), None)
        if place is None:
            listeners.append(Listener(kind=typing.cast(Any, kind), port=port))
        else:
            listeners[place] = dataclasses.replace(listeners[place], port=port)
    web = config.web if http_port is None else dataclasses.replace(config.web, port=http_port)
    return dataclasses.replace(config, listener=tuple(listeners), web=web)


def effective(config: Config) -> list[tuple[str, str]]:
    """(key, value) of every setting as it is in force, secrets masked: for the log at boot and for `config show`."""
    result = []
    for name in (field.name for field in dataclasses.fields(Config) if field.name not in ("root", "file")):
        section = config.listeners if name == "listener" else getattr(config, name)
        for index, part in enumerate(section if isinstance(section, tuple) else (section,)):
            label = f"{name}[{index}]" if isinstance(section, tuple) else name
            for field in dataclasses.fields(part):
                value = getattr(part, field.name)
                shown = "***" if field.metadata.get("secret") and value else as_toml(value)
                result.append((f"{label}.{field.name}", shown))
    return result


def example() -> str:
    """The text of etc/jetmail.toml: every setting with its sentence, its bounds and its default, commented out."""
    lines = [
        "# jetmail's settings. Every line that begins with '# name =' shows a default; take the '# ' away to change it.",
        "# Paths are relative to the directory that holds etc/ and var/. `jetmail check` names every mistake at once.",
        "# What people change while it runs (domains, users, rules, thresholds) is not here but in the store.",
    ]
    return "\n".join(lines + sample(SECTIONS)) + "\n"


_HOST = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


def split_host_port(text: str) -> tuple[str, int]:
    """'mail.example.test:25', '192.0.2.1:25' or '[2001:db8::1]:25' -> (host, port). Raises ValueError with the reason."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError("must be HOST:PORT with a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if not _HOST.fullmatch(host):
        raise ValueError("must be HOST:PORT; an IPv6 address stands in brackets")
    return host.lower(), int(port)


def _contradictions(config: Config) -> list[str]:
    """Faults no single setting shows."""
    problems = []

    def check(key: str, test: Any, value: str, words: str) -> None:
        if value:
            try:
                test(value)
            except ValueError:
                problems.append(f"{key}: {value!r} is not {words}")

    if config.server.hostname and not _HOST.fullmatch(config.server.hostname):
        problems.append(f"server.hostname: {config.server.hostname!r} is not a host name")
    if config.submission.report_host and not _HOST.fullmatch(config.submission.report_host):
        problems.append(f"submission.report_host: {config.submission.report_host!r} is not a host name")
    if config.submission.spf_include and not _HOST.fullmatch(config.submission.spf_include):
        problems.append(f"submission.spf_include: {config.submission.spf_include!r} is not a name")
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", config.submission.user_header):
        problems.append(f"submission.user_header: {config.submission.user_header!r} is not the name of a header field")
    for index, listener in enumerate(config.listener):
        check(f"listener[{index}].address", ipaddress.ip_address, listener.address, "an IP address")
        for number, network in enumerate(listener.proxy_from):
            check(f"listener[{index}].proxy_from[{number}]", ipaddress.ip_network, network, "a network (192.0.2.0/24)")
    check("web.address", ipaddress.ip_address, config.web.address, "an IP address")
    if config.web.port and not (config.web.address and _is_loopback(config.web.address)):
        problems.append("web.address: must be a loopback address while the pages have no sign-in")
    for index, name in enumerate(config.web.hosts):
        if not _is_host(name):
            problems.append(f"web.hosts[{index}]: {name!r} is not a host name or an IP address, without a port")
    check("web.policy_address", ipaddress.ip_address, config.web.policy_address, "an IP address")
    check("server.postmaster", parse_address, config.server.postmaster, "an address")
    check("reports.address", parse_address, config.reports.address, "an address")
    for key in ("dmarc_reports", "tls_reports"):
        check(f"domains.{key}", parse_address, getattr(config.domains, key), "an address")
    check("api.address", ipaddress.ip_address, config.api.address, "an IP address")
    for index, network in enumerate(config.api.proxies):
        check(f"api.proxies[{index}]", ipaddress.ip_network, network, "a network (192.0.2.0/24)")
    if config.api.port and config.api.tls == "off" and not config.api.proxies and not (config.api.address and _is_loopback(config.api.address)):
        problems.append("api.tls: may be off on the loopback address only, or behind a proxy that api.proxies names: a token never goes in clear")
    check("delivery.source_ipv4", ipaddress.IPv4Address, config.delivery.source_ipv4, "an IPv4 address")
    check("delivery.source_ipv6", ipaddress.IPv6Address, config.delivery.source_ipv6, "an IPv6 address")
    check("delivery.smarthost", split_host_port, config.delivery.smarthost, "HOST:PORT")
    if config.delivery.smarthost_username and config.delivery.smarthost_tls not in ("required", "verified"):
        problems.append("delivery.smarthost_tls: must be 'required' or 'verified' when a user name is set: a password never goes in clear")
    if bool(config.delivery.smarthost_username) != bool(config.delivery.smarthost_password_file):
        problems.append("delivery.smarthost_password_file: smarthost_username and smarthost_password_file must be given together")
    for key in ("zone", "return_path", "return_target", "srs_domain", "policy_target"):
        value = getattr(config.domains, key)
        if value and not _HOST.fullmatch(value):
            problems.append(f"domains.{key}: {value!r} is not a name")
    if not re.fullmatch(r"[a-z0-9-]{1,20}", config.domains.dkim_selector):
        problems.append(f"domains.dkim_selector: {config.domains.dkim_selector!r} is not 1 to 20 of a-z, 0-9 and -")
    if config.returns.days * 86_400.0 <= config.queue.lifetime:
        problems.append("returns.days: must be longer than queue.lifetime, or what comes back of mail that waited comes too late")
    problems += _ldap_contradictions(config.ldap)
    if bool(config.tls.certificate) != bool(config.tls.key):
        problems.append("tls.key: certificate and key must be given together")
    if not config.queue.retries:
        problems.append("queue.retries: needs at least one entry")
    if config.queue.probe_first > config.queue.probe_last:
        problems.append("queue.probe_first: must not be longer than probe_last")
    return problems


def _ldap_contradictions(ldap: Ldap) -> list[str]:
    problems = []
    for index, server in enumerate(ldap.servers):
        parts = urlsplit(server)
        try:
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if parts.scheme not in ("ldap", "ldaps") or not host or not _is_host(host) or parts.path.strip("/"):
            problems.append(f"ldap.servers[{index}]: {server!r} is not ldap://HOST[:PORT] or ldaps://HOST[:PORT]")
        elif ldap.bind_dn and parts.scheme == "ldap" and not ldap.starttls and host not in ("localhost", "127.0.0.1", "::1"):
            problems.append("ldap.starttls: must be true when a password goes to another machine over ldap://")
    if ldap.servers and not ldap.base:
        problems.append("ldap.base: says nothing; where should be searched?")
    if ldap.servers and not re.search(r"\{(address|local)\}", ldap.filter):
        problems.append("ldap.filter: has neither {address} nor {local}, so it would match anybody")
    if bool(ldap.bind_dn) != bool(ldap.password_file):
        problems.append("ldap.password_file: bind_dn and password_file must be given together")
    return problems


def _is_host(text: str) -> bool:
    """A host name, with its final dot or without, or an IP address, which stands without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text.removesuffix(".")) is not None
    return True


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True  # said already


def password(config: Config) -> str:
    """The smarthost's password from its file. Raises ConfigError."""
    return _secret(config, "delivery.smarthost_password_file", config.delivery.smarthost_password_file)


def ldap_password(config: Config) -> str:
    """The password of [ldap] from its file. Raises ConfigError."""
    return _secret(config, "ldap.password_file", config.ldap.password_file)


def _secret(config: Config, key: str, name: str) -> str:
    if not name:
        return ""
    try:
        return config.path(name).read_text("utf-8").strip(os.linesep)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{config.file.name}: {key}: {error}"]) from error
