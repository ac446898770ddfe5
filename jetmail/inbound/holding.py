"""Which recipients' copies of an accepted message are set aside by a hold rule: asked when everything else is decided, before the commit.

Mail is taken (250) and stored with those deliveries held, and an event that names the rule, in the one transaction; `queue unhold` lets them go. Of
several rules that would, the oldest does. What is refused or quarantined is no concern of hold rules. Reports and notices we write ourselves do not
come by here. Without rules the price is one look into the directory's cache. Raises StoreError when the directory cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from jetmail.mail.address import AddressError, parse
from jetmail.mail.holdrule import Addressee, HoldRule, Parcel, asks_for, holds
from jetmail.mail.status import Status
from jetmail.store.directory.cache import Directory
from jetmail.store.traffic.holds import HOLD_RULE
from jetmail.store.traffic.messages import NewDelivery


class Holding:
    """One per process. `directory` is store.directory.cache.Directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def rules(self, now: float) -> tuple[HoldRule, ...]:
        """Those that count now."""
        rules = self._directory.hold_rules()
        return tuple(rule for rule in rules if rule.is_live(now)) if rules else rules

    def held(self, rules: Sequence[HoldRule], parcel: Parcel, rows: tuple[NewDelivery, ...], details: dict[str, str]) -> tuple[NewDelivery, ...]:
        """The deliveries as they are to be stored. Adds the event's detail of each rule that held one to `details`, by its reply."""
        asking = [rule for rule in rules if asks_for(rule, parcel)]
        if not asking:
            return rows
        made = []
        for row in rows:
            addressee = self._addressee(row, parcel)
            rule = next((rule for rule in asking if holds(rule, parcel, addressee)), None) if row.status == Status.QUEUED else None
            if rule is not None:
                reply = f"held by rule {rule.uuid}{': ' if rule.reason else ''}{rule.reason}"
                row = row._replace(held=True, reason=HOLD_RULE, reply=reply)
                details[reply] = json.dumps({"by": "rule", "reason": HOLD_RULE, "rule": rule.uuid, "why": rule.reason}, ensure_ascii=False)
            made.append(row)
        return tuple(made)

    def _addressee(self, row: NewDelivery, parcel: Parcel) -> Addressee:
        addresses = (key_of(row.recipient), key_of(row.target))
        policy = self._directory.policy_for(row.domain) if parcel.direction == "inbound" else None
        return Addressee(addresses, (row.domain,)) if policy is None else Addressee(addresses, (row.domain, policy.real), policy.account_id)


def key_of(text: str) -> str:
    """An address as rules spell it."""
    try:
        return parse(text).key
    except AddressError:
        return text.casefold()
