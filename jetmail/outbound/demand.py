"""What a host found by MX must show before mail for one domain is given to it. Values only: security.py decides, attempt.py and tls.py obey."""

from __future__ import annotations

from typing import NamedTuple

from jetmail.mailauth.dane import Tlsa


class Proof(NamedTuple):
    """TLSA records one of which must prove the certificate. `names`: what the host may be called (usage 2 alone looks)."""

    records: tuple[Tlsa, ...]
    names: tuple[str, ...]


class Demand(NamedTuple):
    """`domain`: whose policy. `policy`: its type in reports (tlsa, sts, no-policy-found), `quoted` its lines. `required` and `found`: for people.
    `proof` None: the hop's TLS mode says all. `refusal`: why the host may not be used at all. `trouble`: a result type of RFC 8460 4.3 that every
    session counts as, because the policy itself could not be had."""

    domain: str
    policy: str = "no-policy-found"
    quoted: tuple[str, ...] = ()
    required: str = "nothing"
    found: str = ""
    proof: Proof | None = None
    refusal: str = ""
    trouble: str = ""
