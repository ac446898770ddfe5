"""A validating resolver with two zones of its own, one signed, one not: unbound over files made here. Skipped loudly when unbound is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.dnssec
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.live.daemons import started
from tests.live.harness import free_port
from tests.live.needs import program

HEAD = "$ORIGIN {0}.\n$TTL 60\n@ SOA ns.{0}. hostmaster.{0}. 1 3600 900 86400 60\n@ NS ns.{0}.\nns A 127.0.0.1\n"


def signed(origin: str, text: str) -> tuple[str, str]:
    """The zone signed with a new key, and that key as a trust anchor."""
    zone = dns.zone.from_text(HEAD.format(origin) + text, origin=origin, relativize=False)
    private = ec.generate_private_key(ec.SECP256R1())
    key = dns.dnssec.make_dnskey(private.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257)
    with zone.writer() as writer:
        dns.dnssec.sign_zone(zone, writer, keys=[(private, key)], dnskey_ttl=60, lifetime=86_400)
    return zone.to_text(relativize=False), f"{origin}. 60 IN DNSKEY {key.to_text()}\n"


@contextmanager
def unbound(directory: Path, signed_zones: Mapping[str, tuple[str, str]], plain_zones: Mapping[str, str]) -> Iterator[int]:
    """`signed_zones`: {origin: what `signed` made}; `plain_zones`: {origin: records}. -> its port, over UDP and TCP."""
    path = program("unbound")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = ["server:", "  interface: 127.0.0.1", f"  port: {port}"]
    lines += ['  chroot: ""', '  username: ""', f'  directory: "{directory}"']
    lines += ["  use-syslog: no", '  pidfile: ""', "  do-daemonize: no"]
    lines += ["  verbosity: 1", '  module-config: "validator iterator"', "  num-threads: 1"]
    lines += ["  do-ip6: no", "  access-control: 127.0.0.0/8 allow", '  local-zone: "test." nodefault']
    zones = []
    for origin, (text, anchor) in signed_zones.items():
        (directory / f"{origin}.zone").write_text(text)
        (directory / f"{origin}.key").write_text(anchor)
        lines.append(f'  trust-anchor-file: "{directory / origin}.key"')
        zones.append(origin)
    for origin, text in plain_zones.items():
        (directory / f"{origin}.zone").write_text(HEAD.format(origin) + text)
        zones.append(origin)
    for origin in zones:
        lines += ["auth-zone:", f'  name: "{origin}."', f'  zonefile: "{directory / origin}.zone"', "  for-downstream: no", "  for-upstream: yes"]
        lines += ["  fallback-enabled: no"]
    lines += ["remote-control:", "  control-enable: no"]
    (directory / "unbound.conf").write_text("\n".join(lines) + "\n")
    asking = dns.resolver.Resolver(configure=False)
    asking.nameservers, asking.port = ["127.0.0.1"], port

    def ready() -> bool:
        try:
            asking.resolve(zones[0], "SOA", lifetime=1)
        except Exception:
            return False
        return True

    with started([path, "-d", "-c", str(directory / "unbound.conf")], directory / "unbound.log", ready, "unbound answers"):
        yield port
