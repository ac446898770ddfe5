"""The sysadmin's settings: etc/jetmail.toml -> one frozen Config.

Promises
- Every setting is declared once, here, with its default, its bounds and a sentence; etc/jetmail.toml and docs/configuration.md are checked against
  these declarations by tests.
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
from typing import Any, Literal
from urllib.parse import urlsplit

from jetmail.errors import ConfigError
from jetmail.sections import Domains, Ldap
from jetmail.settings import as_toml, converter, faults, sample, setting

FILE_NAME = "jetmail.toml"
MIB = 1 << 20
HOUR = 3600.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Server:
    """[server] Who this machine is and as whom it runs."""

    hostname: str = setting("", "name in greetings, Received fields and reports; empty: the system's full host name")
    user: str = setting("", "when started as root, drop to this user once the ports are open; empty: stay")
    group: str = setting("", "group to drop to; empty: the user's own")
    state: str = setting("var", "directory of the store, the spool and generated keys")
    workers: int = setting(4, "threads for disk and password work", low=1, high=64)


@dataclass(frozen=True, slots=True)
class Store:
    """[store] The SQLite file and the spool."""

    inline_limit: int = setting(131_072, "octets up to which content is kept in the store; larger content is a spool file", low=4_096, high=MIB)
    min_free: int = setting(64 * MIB, "octets that must be free on the disk to accept mail; below it senders are told to come back later", low=0)
    log_days: float = setting(90, "days a message's row and events are kept after it is done", low=1, high=3_650)
    quarantine_days: float = setting(30, "days a message stays in the quarantine when nobody releases or deletes it", low=1, high=3_650)


@dataclass(frozen=True, slots=True)
class Listener:
    """[[listener]] One address and port to receive mail on. Without any, the ports 25, 587 and 465 of every address."""

    kind: Literal["mx", "submission", "submissions"] = setting(
        "mx", "mx: mail for our domains; submission: users, STARTTLS; submissions: users, TLS at once"
    )
    port: int = setting(25, "TCP port", low=0, high=65_535)
    address: str = setting("", "IP address to listen on; empty: all, IPv6 and IPv4")
    proxy_from: tuple[str, ...] = setting((), "networks whose connections begin with a PROXY protocol header; all others must not send one")


@dataclass(frozen=True, slots=True)
class Smtp:
    """[smtp] Limits of the receiving side."""

    max_message_size: int = setting(50 * MIB, "octets of the largest message taken", low=65_536, high=2_000 * MIB)
    max_recipients: int = setting(200, "recipients of one message", low=100, high=10_000)
    max_errors: int = setting(10, "refused commands of one connection before it is closed", low=1, high=1_000)
    max_messages: int = setting(200, "messages of one connection", low=1, high=100_000)
    max_connections: int = setting(1_000, "connections at a time", low=1, high=100_000)
    max_per_address: int = setting(50, "connections at a time from one IPv4 address or IPv6 /64", low=1, high=100_000)
    greeting_delay: float = setting(0.0, "seconds before the banner; who talks earlier is refused", low=0, high=30)
    idle_timeout: float = setting(300.0, "seconds a client may be silent between commands (RFC 5321: five minutes)", low=10, high=3_600)
    data_timeout: float = setting(180.0, "seconds a client may be silent within a message (RFC 5321: three minutes)", low=10, high=3_600)
    message_timeout: float = setting(1_800.0, "seconds a whole message may take", low=30, high=86_400)
    tls_timeout: float = setting(60.0, "seconds a TLS handshake or a PROXY header may take", low=5, high=600)
    stop_grace: float = setting(20.0, "seconds running transactions and deliveries get to end when the process is stopped", low=0, high=300)


@dataclass(frozen=True, slots=True)
class Submission:
    """[submission] What users with a login may send (docs/smtp-users.md). The limits are for sixty minutes; who passes one is blocked."""

    report_host: str = setting("", "host in the address that explains a refusal; empty: server.hostname")
    user_header: str = setting("X-JetEmail-User", "field that carries the sending user's uuid")
    reject_score: float = setting(15.0, "score from which on mail of users is refused; 999 never", low=0, high=999)
    spf: Literal["off", "flag", "strict"] = setting(
        "flag", "flag: note a sender's domain without SPF, of users who may send from any; strict: refuse it, whoever sends"
    )
    spf_include: str = setting("", "name that a domain's SPF record is to include; empty: any will do, and spf. and domains.zone is proposed")
    hashes: int = setting(1, "passwords checked at a time, each on a core of its own for some 20 ms", low=1, high=16)
    login_queue: int = setting(100, "sign-ins that may wait for that; more are told to come back later", low=1, high=10_000)
    user_messages: int = setting(0, "messages of one user; 0: no limit", low=0)
    user_newcomers: int = setting(0, "recipients one user has never written to before; 0: no limit", low=0)
    user_rejections: int = setting(1_000, "messages of one user refused here or by others, when they are over a tenth of all; 0: no limit", low=0)
    user_spam: int = setting(100, "messages of one user refused as spam; 0: no limit", low=0)
    sender_messages: int = setting(0, "messages of one sender of a user; 0: no limit", low=0)
    sender_newcomers: int = setting(0, "recipients first written to through one sender of a user; 0: no limit", low=0)
    sender_rejections: int = setting(200, "messages of one sender refused here or by others, when they are over a tenth of all; 0: no limit", low=0)
    sender_spam: int = setting(20, "messages of one sender refused as spam; 0: no limit", low=0)


@dataclass(frozen=True, slots=True)
class Tls:
    """[tls] The certificate shown to clients. Files are read again when they change."""

    certificate: str = setting("", "PEM file with the certificate and its chain; empty: a self-signed one is made in the state directory")
    key: str = setting("", "PEM file with the private key; empty: made with the certificate", secret=False)


@dataclass(frozen=True, slots=True)
class Queue:
    """[queue] How long and how often delivery is tried."""

    lifetime: float = setting(5 * DAY, "seconds after arrival until a message is returned to its sender", low=60, high=30 * DAY)
    retries: tuple[float, ...] = setting(
        (60.0, 300.0, 600.0, 900.0, 1_800.0, HOUR, 2 * HOUR, 4 * HOUR),
        "seconds from one attempt to the next; the last one repeats",
        low=0.05,
        high=7 * DAY,
    )
    jitter: float = setting(0.1, "part of the wait by which it is varied at random", low=0, high=0.5)
    delay_notice: float = setting(4 * HOUR, "seconds after which the sender is told that a message waits; 0: never", low=0, high=30 * DAY)
    window: int = setting(2_000, "deliveries held in memory; the others wait in the store", low=10, high=1_000_000)
    max_deliveries: int = setting(100, "connections to destinations at a time", low=1, high=10_000)
    max_per_destination: int = setting(20, "deliveries to one destination at a time, reached step by step", low=1, high=1_000)
    probe_first: float = setting(30.0, "seconds until a destination that is down is probed again; doubles up to probe_last", low=0.05, high=HOUR)
    probe_last: float = setting(600.0, "longest wait between two probes of a destination that is down", low=0.05, high=DAY)


@dataclass(frozen=True, slots=True)
class Delivery:
    """[delivery] How mail leaves."""

    smarthost: str = setting("", "HOST:PORT that takes all mail for domains without a destination of their own; empty: by MX")
    smarthost_tls: Literal["none", "opportunistic", "required", "verified"] = setting("opportunistic", "TLS towards the smarthost")
    smarthost_username: str = setting("", "user name for AUTH at the smarthost; only ever sent over TLS")
    smarthost_password_file: str = setting("", "file that holds the password of that user")
    mx_port: int = setting(25, "port of hosts found by MX", low=1, high=65_535)
    ca_file: str = setting("", "PEM file of certification authorities to verify destinations against; empty: the system's")
    source_ipv4: str = setting("", "IPv4 address outgoing connections come from; empty: the system's choice")
    source_ipv6: str = setting("", "IPv6 address outgoing connections come from; empty: the system's choice")
    send_8bit_anyway: bool = setting(True, "send 8-bit content as it is to a host that does not offer 8BITMIME; false: return it to the sender")
    connect_timeout: float = setting(30.0, "seconds for a TCP connection", low=0.5, high=300)
    command_timeout: float = setting(300.0, "seconds for an answer to a command (RFC 5321: five minutes)", low=0.5, high=1_800)
    data_timeout: float = setting(180.0, "seconds without progress while content is sent (RFC 5321: three minutes)", low=0.5, high=1_800)
    final_timeout: float = setting(600.0, "seconds for the answer to the end of a message (RFC 5321: ten minutes)", low=0.5, high=3_600)
    keep_idle: float = setting(10.0, "seconds an unused connection to a destination is kept", low=0, high=300)
    keep_messages: int = setting(500, "messages sent over one connection", low=1, high=100_000)
    dane: bool = setting(True, "obey the TLSA records of hosts found by MX (RFC 7672); takes effect with dns.validating only")
    mta_sts: bool = setting(True, "fetch and obey the MTA-STS policies of domains (RFC 8461)")
    mta_sts_port: int = setting(443, "port the policies are fetched from", low=1, high=65_535)
    tls_downgrade: Literal["note", "defer"] = setting("note", "a domain that had verified TLS lately and offers none: an event, or the mail waits")
    tls_reports: bool = setting(True, "send daily reports about TLS to the domains that ask for them (RFC 8460)")


@dataclass(frozen=True, slots=True)
class Verify:
    """[verify] Recipients of domains whose `recipients` is callout or ldap."""

    positive: float = setting(DAY, "seconds an address that exists is not asked about again", low=60, high=30 * DAY)
    negative: float = setting(HOUR, "seconds an address that does not exist is not asked about again", low=10, high=DAY)
    timeout: float = setting(20.0, "seconds one callout may take", low=1, high=60)
    temporary: Literal["defer", "accept"] = setting("defer", "what becomes of mail when a callout gets no clear answer")


@dataclass(frozen=True, slots=True)
class Dns:
    """[dns] Which resolvers answer."""

    servers: tuple[str, ...] = setting((), "resolvers as ADDRESS or ADDRESS:PORT or [IPV6]:PORT; empty: those of /etc/resolv.conf")
    validating: bool = setting(False, "these resolvers check DNSSEC and the way to them is safe, so their AD bit can be trusted")
    timeout: float = setting(5.0, "seconds for one look-up in all", low=0.2, high=60)
    cache_entries: int = setting(20_000, "answers kept", low=100, high=10_000_000)


@dataclass(frozen=True, slots=True)
class Web:
    """[web] The pages, /metrics and /healthz."""

    address: str = setting("127.0.0.1", "IP address to listen on; loopback only until sign-in exists")
    port: int = setting(8080, "TCP port; 0 turns the pages off", low=0, high=65_535)
    hosts: tuple[str, ...] = setting((), "host names the pages answer to besides the loopback's; others are refused")
    brand: str = setting("jetmail", "name shown on every page")


@dataclass(frozen=True, slots=True)
class Log:
    """[log] Standard error, one line an event."""

    format: Literal["text", "json"] = setting("text", "text for people, json for collectors")
    level: Literal["debug", "info", "warn", "error"] = setting("info", "least severe event written")


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
    tls: Tls = Tls()
    queue: Queue = Queue()
    delivery: Delivery = Delivery()
    verify: Verify = Verify()
    domains: Domains = Domains()
    ldap: Ldap = Ldap()
    dns: Dns = Dns()
    web: Web = Web()
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


SECTIONS: tuple[type, ...] = (Server, Store, Listener, Smtp, Submission, Tls, Queue, Delivery, Verify, Domains, Ldap, Dns, Web, Log)


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
        for network in listener.proxy_from:
            check(f"listener[{index}].proxy_from", ipaddress.ip_network, network, "a network (192.0.2.0/24)")
    check("web.address", ipaddress.ip_address, config.web.address, "an IP address")
    if config.web.port and config.web.address and not _is_loopback(config.web.address):
        problems.append("web.address: must be a loopback address while the pages have no sign-in")
    check("delivery.source_ipv4", ipaddress.IPv4Address, config.delivery.source_ipv4, "an IPv4 address")
    check("delivery.source_ipv6", ipaddress.IPv6Address, config.delivery.source_ipv6, "an IPv6 address")
    check("delivery.smarthost", split_host_port, config.delivery.smarthost, "HOST:PORT")
    if config.delivery.smarthost_username and config.delivery.smarthost_tls not in ("required", "verified"):
        problems.append("delivery.smarthost_tls: must be 'required' or 'verified' when a user name is set: a password never goes in clear")
    for key in ("zone", "return_path", "return_target"):
        value = getattr(config.domains, key)
        if value and not _HOST.fullmatch(value):
            problems.append(f"domains.{key}: {value!r} is not a name")
    if not re.fullmatch(r"[a-z0-9-]{1,20}", config.domains.dkim_selector):
        problems.append(f"domains.dkim_selector: {config.domains.dkim_selector!r} is not 1 to 20 of a-z, 0-9 and -")
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
        if parts.scheme not in ("ldap", "ldaps") or not host or parts.path.strip("/"):
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
