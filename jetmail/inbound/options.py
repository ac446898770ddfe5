"""What one listener is, and what all connections together may take. Times are seconds; connection deadlines are kept to within one sweep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """One door. `fd` is an already open listening socket to adopt (systemd socket activation) instead of opening `address` and `port`."""

    name: str
    kind: str  # 'mx', 'submission' or 'submissions'
    address: str = ""  # '' means every address, IPv6 and IPv4
    port: int = 0  # 0: the system chooses
    fd: int | None = None
    proxy_from: tuple[str, ...] = ()  # networks whose connections must begin with a PROXY header
    greeting_delay: float = 0.0  # before the banner; who talks earlier is refused. 0: the banner comes at once
    backlog: int = 511


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Limits and deadlines of all listeners together."""

    max_connections: int = 1_000
    max_per_address: int = 50  # per IPv4 address or IPv6 /64
    unlimited: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # networks max_per_address does not hold for: our own programs
    idle_timeout: float = 300.0  # between commands. RFC 5321 4.5.3.2.7: at least five minutes
    data_timeout: float = 180.0  # between pieces of content. RFC 5321 4.5.3.2.5: three minutes
    message_timeout: float = 1_800.0  # from the connection or the last message to the end of the next, plus what `min_rate` grants
    min_rate: float = 1_000.0  # octets a second: a sender this fast never meets message_timeout
    answer_timeout: float = 900.0  # our own part: a receiver that has not answered by then is given up
    tls_timeout: float = 60.0  # for the TLS handshake, or the PROXY header
    close_timeout: float = 15.0  # for the peer to close after our last reply
    close_octets: int = 8_388_608  # thrown away in that time, so that the last reply is not lost to a reset
    stop_grace: float = 20.0  # for running transactions when the service stops
    sweep_interval: float = 5.0
