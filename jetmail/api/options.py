"""What an administrator may set about the API, with its defaults. config.py maps [api] onto it; where it listens is app's business."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Times in seconds, sizes in octets.

    `hostname` is ours. `proxies`: networks of proxies that are believed when they say for whom they ask, and whether by TLS. `json_limit` of one
    body of JSON, `json_memory` of all that are held at a time, `raw_limit` of one message as it is. `token_rate` and `address_rate`: requests a
    second, so many in one go before that counts (`burst` seconds of them). `max_recipients` of one message, `max_batch` messages in one request.
    `answer_timeout`: who waits that long is told 503, and the work goes on. `slowest`: octets a second a body must come with. `failures`: requests
    without a good token an address may make in a minute. The rest are limits on one connection (jetmail.web.door).
    """

    hostname: str = "localhost"
    proxies: tuple[str, ...] = ()
    json_limit: int = 25 * MIB
    json_memory: int = 128 * MIB
    raw_limit: int = 50 * MIB
    max_recipients: int = 200
    max_batch: int = 500
    token_rate: float = 50.0
    address_rate: float = 100.0
    burst: float = 2.0
    failures: int = 20
    slowest: int = 16_384
    answer_timeout: float = 300.0
    body_limit: int = 65_536
    header_limit: int = 32_768
    header_count: int = 100
    idle_timeout: float = 60.0
    request_timeout: float = 20.0
    max_connections: int = 500
    max_per_address: int = 50
