"""The sections of etc/jetmail.toml: every setting declared once, with its default, its bounds and a sentence. config.py reads and checks them.

Values only. Times are seconds and sizes octets unless a setting says otherwise; paths are relative to the root directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jetmail.settings import setting

MIB = 1 << 20
HOUR = 3600.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Server:
    """[server] Who this machine is and as whom it runs."""

    hostname: str = setting("", "name in greetings, Received fields and reports; empty: the system's full host name")
    postmaster: str = setting("", "address that gets mail to postmaster at this machine's name and at domains without one; empty: it is refused")
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
    max_per_address: int = setting(50, "connections at a time from one IPv4 address or IPv6 /64; not from this machine", low=1, high=100_000)
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
class Suppression:
    """[suppression] Recipients that mail of users is not sent to, because it came back or somebody complained (docs/suppression.md)."""

    enabled: bool = setting(True, "false: nobody is suppressed by itself, and the list is not looked at")
    bounces: bool = setting(True, "suppress a recipient that its host refuses for good")
    complaints: bool = setting(True, "suppress a recipient that complains")
    gone: int = setting(1, "messages refused because there is no such address until it is suppressed", low=1, high=1_000)
    refused: int = setting(3, "messages refused without saying why until the address is suppressed; 0: never", low=0, high=1_000)
    window_days: float = setting(7, "days in which these refusals must come", low=0.01, high=365)
    bounce_days: float = setting(30, "days an address is suppressed because mail came back; 0: for good", low=0, high=3_650)
    complaint_days: float = setting(0, "days an address is suppressed because of a complaint; 0: for good", low=0, high=3_650)


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
    max_per_destination: int = setting(
        20, "deliveries to one destination at a time, reached step by step, and to one site where providers.toml says nothing", low=1, high=1_000
    )
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
    bdat: bool = setting(False, "send content by BDAT to a host that offers CHUNKING; false: by DATA, which is what every host has seen")
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
    policy_port: int = setting(
        0, "TCP port for the MTA-STS policies of our own domains, over HTTPS and nothing else; 443 for the world, 0: not served", low=0, high=65_535
    )
    policy_address: str = setting("", "IP address to listen on for them; empty: all")
    policy_certificates: str = setting(
        "", "directory of mta-sts.DOMAIN.pem files, each a key and its certificate with the chain; empty: tls in the state directory"
    )


@dataclass(frozen=True, slots=True)
class Api:
    """[api] Sending over HTTP, with tokens (docs/api.md)."""

    address: str = setting("127.0.0.1", "IP address to listen on; empty: all")
    port: int = setting(0, "TCP port; 0 turns the API off", low=0, high=65_535)
    tls: Literal["auto", "off"] = setting("auto", "auto: TLS with the certificate of [tls] unless the address is the loopback's; off: a proxy has it")
    proxies: tuple[str, ...] = setting(
        (), "networks of proxies that are believed when they say for whom they ask (X-Forwarded-For, X-Forwarded-Proto)"
    )
    json_limit: int = setting(
        25 * MIB, "octets of one request in JSON; a message as it is may have smtp.max_message_size", low=65_536, high=256 * MIB
    )
    json_memory: int = setting(128 * MIB, "octets of such requests held at a time in all; beyond it clients are told 503", low=MIB, high=4_096 * MIB)
    max_batch: int = setting(500, "messages in one request", low=1, high=1_000)
    token_rate: float = setting(50.0, "requests a second with one token, over two seconds; beyond it clients are told 429", low=0.1, high=100_000)
    address_rate: float = setting(100.0, "requests a second from one IPv4 address or IPv6 /64", low=0.1, high=100_000)
    failures: int = setting(20, "requests without a good token in a minute, from one address", low=1, high=10_000)
    max_connections: int = setting(500, "connections at a time", low=1, high=100_000)
    max_per_address: int = setting(50, "connections at a time from one address", low=1, high=100_000)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """[webhooks] How events are told to those who want to be told by HTTP (docs/webhooks.md)."""

    retries: tuple[float, ...] = setting(
        (30.0, 120.0, 600.0, HOUR, 4 * HOUR), "seconds from one attempt to the next; after the last one an event is a dead letter", low=0.05, high=DAY
    )
    timeout: float = setting(10.0, "seconds one attempt may take, from look-up to answer", low=1, high=60)
    concurrency: int = setting(40, "attempts at a time in all", low=1, high=1_000)
    per_webhook: int = setting(4, "attempts at a time to one webhook; one only after a failure", low=1, high=100)
    backlog: int = setting(10_000, "events that may wait for one webhook; beyond it the oldest become dead letters", low=10, high=1_000_000)
    dead_letters: int = setting(10_000, "dead letters kept of one webhook, the newest", low=10, high=1_000_000)
    dead_days: float = setting(30.0, "days a dead letter is kept", low=1, high=365)


@dataclass(frozen=True, slots=True)
class Log:
    """[log] Standard error, one line an event."""

    format: Literal["text", "json"] = setting("text", "text for people, json for collectors")
    level: Literal["debug", "info", "warn", "error"] = setting("info", "least severe event written")


@dataclass(frozen=True, slots=True)
class Domains:
    """[domains] What the owners of domains publish in DNS so that mail may be sent for them, and the keys it is signed with (docs/domains.md)."""

    zone: str = setting("", "name of ours that the records of customers lead to; empty: server.hostname")
    return_path: str = setting("bounces", "label under a customer's domain that bounces come back to")
    return_target: str = setting("", "what that name is to be a CNAME of; empty: return. and the zone")
    srs_domain: str = setting("", "domain forwarded mail leaves under; its MX must lead here; empty: the zone")
    dmarc_reports: str = setting("", "address put into the DMARC record that is proposed; empty: reports.address")
    tls_reports: str = setting("", "address put into the TLS reporting record that is proposed; empty: reports.address")
    policy_target: str = setting("", "what mta-sts and the domain is to be a CNAME of; empty: mta-sts. and the zone")
    dkim_selector: str = setting("jm", "what selectors begin with; 1 or 2 follows, and e for Ed25519")
    dkim_delegated: bool = setting(True, "customers publish a CNAME once and the keys are in our zone; false: they publish each key themselves")
    dkim_ed25519: bool = setting(True, "sign with an Ed25519 key too (RFC 8463)")
    dkim_rotate_days: float = setting(90.0, "days a key signs before the next one takes over; 0: never by itself", low=0, high=3_650)
    dkim_settle: float = setting(3_600.0, "seconds a new key must have been in DNS before it takes over from an old one", low=60, high=604_800)
    dkim_margin: float = setting(172_800.0, "seconds an old key stays published beyond queue.lifetime", low=3_600, high=2_592_000)


@dataclass(frozen=True, slots=True)
class Reports:
    """[reports] What others report about our domains: DMARC aggregate reports and TLS reports (docs/reports.md)."""

    address: str = setting("", "address they are taken in at, with anything behind a plus too; its MX must lead here; empty: none are")
    per_day: int = setting(
        5_000, "mails to it that are read a day, a tenth of them from one address; more are told to come later", low=10, high=1_000_000
    )
    days: float = setting(400.0, "days a report is kept", low=1, high=3_650)


@dataclass(frozen=True, slots=True)
class Returns:
    """[returns] Addresses made for what comes back: return paths of users' mail and rewritten senders of forwards (docs/returns.md)."""

    enabled: bool = setting(True, "false: all mail leaves under the sender it came with; what was sent before is still taken back")
    days: float = setting(14.0, "days such an address counts; must be longer than queue.lifetime", low=1, high=60)
    rotate_days: float = setting(90.0, "days a key makes such addresses before the next one takes over; 0: for ever", low=0, high=3_650)
    own_name: Literal["signed", "always", "never"] = setting(
        "signed", "where a domain has not published its name: mail leaves under domains.return_target, if that or the zone is set, when DKIM signs it"
    )
    per_hour: int = setting(20, "messages an hour that may come back for one recipient of one message", low=1, high=10_000)


@dataclass(frozen=True, slots=True)
class Ldap:
    """[ldap] The directory that is asked about recipients of domains whose `recipients` is ldap."""

    servers: tuple[str, ...] = setting((), "ldap://HOST[:PORT] or ldaps://HOST[:PORT], tried in order; empty: none")
    starttls: bool = setting(True, "TLS on ldap:// connections; the certificate must be right")
    ca_file: str = setting("", "PEM file of certification authorities; empty: the system's")
    bind_dn: str = setting("", "whom to bind as; empty: anonymously")
    password_file: str = setting("", "file that holds the password; only ever sent over TLS, or to this machine itself")
    base: str = setting("", "where to search; {domain} stands for the recipient's")
    filter: str = setting(
        "(|(mail={address})(proxyAddresses=smtp:{address}))", "what to search for; {address}, {local} and {domain} stand for the recipient's, escaped"
    )
    timeout: float = setting(5.0, "seconds for a connection, and for an answer", low=0.5, high=30)
    connections: int = setting(2, "searches at a time; each takes one of [server] workers", low=1, high=16)
