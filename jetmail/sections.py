"""Sections of etc/jetmail.toml that config.py has no room for: declared in the same way, read and checked there."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.settings import setting


@dataclass(frozen=True, slots=True)
class Domains:
    """[domains] What the owners of domains publish in DNS so that mail may be sent for them, and the keys it is signed with (docs/domains.md)."""

    zone: str = setting("", "name of ours that the records of customers lead to; empty: server.hostname")
    return_path: str = setting("bounces", "label under a customer's domain that bounces come back to")
    return_target: str = setting("", "what that name is to be a CNAME of; empty: return. and the zone")
    dmarc_reports: str = setting("", "address put into the DMARC record that is proposed; empty: none")
    dkim_selector: str = setting("jm", "what selectors begin with; 1 or 2 follows, and e for Ed25519")
    dkim_delegated: bool = setting(True, "customers publish a CNAME once and the keys are in our zone; false: they publish each key themselves")
    dkim_ed25519: bool = setting(True, "sign with an Ed25519 key too (RFC 8463)")
    dkim_rotate_days: float = setting(90.0, "days a key signs before the next one takes over; 0: never by itself", low=0, high=3_650)
    dkim_settle: float = setting(3_600.0, "seconds a new key must have been in DNS before it takes over from an old one", low=60, high=604_800)
    dkim_margin: float = setting(172_800.0, "seconds an old key stays published beyond queue.lifetime", low=3_600, high=2_592_000)


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
