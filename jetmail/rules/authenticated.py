"""What the rule `authentication` found out, as evidence for the rules behind it: a value in its Verdict that is read by type and stored nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jetmail.mailauth.arc import Arc
from jetmail.mailauth.canonical import BodyForm
from jetmail.mailauth.dkim import Dkim, DkimResult
from jetmail.mailauth.dmarc import Dmarc
from jetmail.mailauth.iprev import Iprev
from jetmail.mailauth.spf import Spf
from jetmail.mailauth.suffixes import PublicSuffixes
from jetmail.rules.verdict import Opinion


@dataclass(frozen=True, slots=True)
class Authenticated:
    """`spf` and `iprev` None for a client of a network that is not asked about. `results` what stands in our Authentication-Results behind the colon.
    `bodies` the body hashes that were needed."""

    spf: Spf | None
    iprev: Iprev | None
    dkim: tuple[Dkim, ...]
    arc: Arc
    dmarc: Dmarc
    results: str
    suffixes: PublicSuffixes = field(compare=False, repr=False)
    bodies: Mapping[BodyForm, tuple[bytes, int]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def signers(self) -> tuple[str, ...]:
        """Domains whose signature holds."""
        return tuple(dict.fromkeys(each.domain for each in self.dkim if each.result is DkimResult.PASS))


def evidence(opinions: Iterable[Opinion]) -> Authenticated | None:
    """What was found out about this message; None when nobody asked."""
    for opinion in opinions:
        if isinstance(found := opinion.verdict.evidence, Authenticated):
            return found
    return None
