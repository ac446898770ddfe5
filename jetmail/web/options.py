"""What an administrator may set about the web site, with its defaults. config.py maps [web] onto it; where it listens is app's business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Times in seconds, sizes in octets.

    `brand`: the name in the page head and title; no page names any other product. `hosts`: names and addresses, besides loopback ones, by which
    browsers may call the site (lower case, without port). `page_size` rows a page (1-200). `poll_interval` between two looks of a live table (1-60).
    `answer_timeout`: a page that takes longer is given up with 503. The rest are limits on one connection (jetmail.web.door).
    """

    brand: str = "jetmail"
    hosts: tuple[str, ...] = ()
    page_size: int = 50
    poll_interval: float = 4.0
    answer_timeout: float = 15.0
    body_limit: int = 65_536
    header_limit: int = 16_384
    header_count: int = 100
    idle_timeout: float = 60.0
    request_timeout: float = 20.0
    max_connections: int = 200
