"""From the directory to what the rules see: a Policy for each recipient, prepared once and kept while the directory stands still.

Settings of the appliance that count here: `thresholds` ({reject_score, spam_score, defer_score}), `lists`, `lists:account:<id>`,
`lists:address:<address>` and `lists:<domain>` ({allow: [...], block: [...]}), `attachments` and
`attachments:<domain>` (rules.attachments). A stored rule or list entry that does not compile matches nothing, is named in Policy.faults and logged
once per version of the directory.

Postmaster (RFC 5321 4.5.1): with an address for it (`server.postmaster`), mail to postmaster at our own name, and at a verified domain of ours that
lists its recipients without one, goes there, as if an alias said so. Without one, or where that address leads nowhere, it is refused like any
address nobody has.

Raises StoreError when the store cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.logger import Logger

from jetmail.errors import UsageError
from jetmail.mail.address import Address
from jetmail.rules.attachments import NO_ATTACHMENT_POLICY, AttachmentPolicy
from jetmail.rules.attachments import parse as parse_attachments
from jetmail.rules.conditions import Conditions, compile_conditions
from jetmail.rules.lists import NO_LISTS, Entries, Lists, parse_entries
from jetmail.rules.policy import (
    DmarcMode,
    DomainState,
    PersonalRule,
    Policy,
    RecipientState,
    SpamAction,
    Thresholds,
    by_level,
)
from jetmail.rules.verdict import Level
from jetmail.store.directory.aliases import Found
from jetmail.store.directory.cache import Directory, DomainPolicy, Resolution
from jetmail.store.directory.rules import StoredRule

MAX_REMEMBERED = 20_000
POSTMASTER = "postmaster"  # in any case

_log = Logger()

_STATES = {Found.TARGETS: RecipientState.KNOWN, Found.LOOP: RecipientState.LOOP, Found.LIMIT: RecipientState.LOOP}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one recipient: the policy rules are given, and where its mail goes. `is_return`: an address for what comes back
    (inbound.returning says whether it still counts)."""

    policy: Policy
    targets: tuple[Address, ...]
    is_return: bool = False


class PolicyBook:
    """Policies by recipient. One per process; on the reactor thread only. `directory` is store.directory.cache.Directory. `postmaster` is who gets
    the mail of postmaster at `hostname` (ours, in lower case) and at domains of ours that have none; None: nobody."""

    def __init__(
        self,
        directory: Directory,
        is_return: Callable[[Address], bool] = lambda address: False,
        postmaster: Address | None = None,
        hostname: str = "",
    ) -> None:
        self._directory = directory
        self._is_return = is_return
        self._postmaster = postmaster
        self._hostname = hostname
        self._version = -1
        self._appliance = Policy()
        self._known: dict[Address, Known] = {}
        self._domains: dict[str, Policy] = {}
        self._compiled: dict[tuple[bool, str], Conditions | str] = {}
        self._compiled_before: dict[tuple[bool, str], Conditions | str] = {}

    def appliance(self) -> Policy:
        """What counts for everybody."""
        self._refresh()
        return self._appliance

    def recipient(self, address: Address) -> Known:
        """The recipient's policy and targets."""
        self._refresh()
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._look_up(address)
        return known

    def _refresh(self) -> None:
        version = self._directory.version
        if version == self._version:
            return
        self._known.clear()
        self._domains.clear()
        # Expressions are compiled once, not once per change of anything: what the last version used is still at hand.
        self._compiled_before, self._compiled = self._compiled, {}
        faults: list[str] = []
        own = self._directory.setting("thresholds", {})
        self._appliance = Policy(
            thresholds=_thresholds(own if isinstance(own, Mapping) else {}),
            appliance_lists=self._lists("lists", faults),
            rules=by_level(self._rules(Level.APPLIANCE, self._directory.rules("appliance"), faults)),
            attachments=self._attachments("attachments", NO_ATTACHMENT_POLICY, faults),
            faults=tuple(faults),
        )
        self._tell(faults)
        self._version = version

    def _look_up(self, address: Address) -> Known:
        if self._is_return(address):
            return Known(self._appliance, (), True)
        found = self._directory.resolve(address)
        if self._postmaster is not None and address.local.casefold() == POSTMASTER:
            if address.domain == self._hostname and not _is_proved(found):
                return self._own_postmaster(self._postmaster)
            if found.found is Found.UNKNOWN_RECIPIENT and _is_proved(found) and (targets := self._leads_to(self._postmaster)):
                found = replace(found, found=Found.TARGETS, targets=targets, via_alias=True)
        if found.policy is None:
            return Known(self._appliance, ())
        policy = self._domain(found.policy)
        state = _STATES.get(found.found, RecipientState.UNKNOWN)
        if found.assumed and found.policy.verify:
            state = RecipientState.UNVERIFIED
        faults: list[str] = []
        keys = _keys(address, found.policy.real, found.targets)
        personal = [rule for key in keys for rule in self._rules(Level.ADDRESS, self._directory.rules("address", key), faults)]
        lists = _merged([self._lists(f"lists:address:{key}", faults) for key in keys])
        self._tell(faults)
        if personal or lists is not NO_LISTS or state is not policy.recipient:
            rules = policy.rules
            policy = replace(policy, recipient=state, address_lists=lists, rules=(rules[0], rules[1], tuple(personal), rules[3]))
        return Known(policy, found.targets)

    def _own_postmaster(self, postmaster: Address) -> Known:
        """Postmaster at our own name, which is no domain of ours."""
        if _is_proved(self._directory.resolve(postmaster)):
            return self._look_up(postmaster)
        targets = self._leads_to(postmaster)
        if not targets:
            return Known(self._appliance, ())
        return Known(replace(self._appliance, domain=self._hostname, state=DomainState.ACTIVE, recipient=RecipientState.KNOWN), targets)

    def _leads_to(self, postmaster: Address) -> tuple[Address, ...]:
        found = self._directory.resolve(postmaster)
        if _is_proved(found):
            return found.targets
        # A claim nobody has proved changes nothing: such an address is elsewhere. But what is at our own name would only come back to us.
        return () if postmaster.domain == self._hostname else (postmaster,)

    def _domain(self, found: DomainPolicy) -> Policy:
        """The policy of a domain for an existing recipient without rules of its own."""
        policy = self._domains.get(found.name)
        if policy is not None:
            return policy
        faults: list[str] = []
        rules = [
            *self._rules(Level.ACCOUNT, self._directory.rules("account", str(found.account_id)), faults),
            *self._rules(Level.DOMAIN, found.rules, faults),
        ]
        own = Thresholds(found.reject_score, found.spam_score, found.defer_score)
        policy = replace(
            self._appliance,
            domain=found.name,
            state=_state(found),
            recipient=RecipientState.KNOWN,
            thresholds=own.over(self._appliance.thresholds),
            spam_action=SpamAction(found.spam_action),
            verify=found.verify,
            keep_spam=found.keep_spam,
            dmarc=DmarcMode(found.dmarc),
            account_lists=self._lists(f"lists:account:{found.account_id}", faults),
            domain_lists=self._lists(f"lists:{found.real}", faults),
            attachments=self._attachments(f"attachments:{found.real}", self._appliance.attachments, faults),
            rules=(self._appliance.rules[Level.APPLIANCE], *by_level(rules)[1:]),
            faults=tuple(faults),
        )
        self._tell(faults)
        self._domains[found.name] = policy
        return policy

    def _rules(self, level: Level, stored: tuple[StoredRule, ...], faults: list[str]) -> list[PersonalRule]:
        rules = []
        for item in stored:
            conditions = self._conditions(item)
            if isinstance(conditions, str):
                faults.append(f"rule {item.uuid} ({item.name}): {conditions}")
            else:
                rules.append(PersonalRule(item.uuid, item.name, level, item.action == "block", conditions))
        return rules

    def _conditions(self, item: StoredRule) -> Conditions | str:
        key = (item.scope == "address", item.conditions)
        compiled = self._compiled.get(key) or self._compiled_before.get(key)
        if compiled is None:
            try:
                compiled = compile_conditions(item.parsed)
            except UsageError as error:
                compiled = str(error)
            else:
                if key[0]:  # whose mail it is for was settled when it was looked up: by tag, alias or alias domain too
                    compiled = replace(compiled, recipients=())
        self._compiled[key] = compiled
        return compiled

    def _lists(self, key: str, faults: list[str]) -> Lists:
        stored = self._directory.setting(key)
        if not stored:
            return NO_LISTS
        sides: list[Entries] = []
        for side in ("allow", "block"):
            entries = stored.get(side, []) if isinstance(stored, Mapping) else []
            good: list[Entries] = []
            for entry in entries if isinstance(entries, list) else []:
                try:
                    good.append(parse_entries([str(entry)], side))
                except UsageError as error:
                    faults.append(f"{key}: {error}")
            sides.append(_joined(good))
        return Lists(*sides) if any(sides) else NO_LISTS

    def _attachments(self, key: str, above: AttachmentPolicy, faults: list[str]) -> AttachmentPolicy:
        stored = self._directory.setting(key)
        if not stored:
            return above
        try:
            return parse_attachments(stored)
        except UsageError as error:
            faults.append(f"{key}: {error}")
            return above

    def _tell(self, faults: list[str]) -> None:
        for fault in faults:
            _log.warn("stored rule does not work and matches nothing: {fault}", fault=fault)


def _merged(found: list[Lists]) -> Lists:
    """One person's lists, under whichever of their addresses they were written."""
    some = [lists for lists in found if lists is not NO_LISTS]
    if len(some) < 2:
        return some[0] if some else NO_LISTS
    return Lists(_joined([lists.allow for lists in some]), _joined([lists.block for lists in some]))


def _joined(parts: list[Entries]) -> Entries:
    if not parts:
        return Entries()
    return Entries(
        frozenset().union(*(part.addresses for part in parts)),
        frozenset().union(*(part.domains for part in parts)),
        parts[0].networks.union(*(part.networks for part in parts[1:])),
    )


def _is_proved(found: Resolution) -> bool:
    return found.policy is not None and found.policy.is_verified


def _state(found: DomainPolicy) -> DomainState:
    if not found.is_verified:
        return DomainState.UNVERIFIED
    return DomainState.ACTIVE if found.inbound else DomainState.DISABLED


def _thresholds(own: Mapping[str, Any]) -> Thresholds:
    def score(name: str) -> float | None:
        value = own.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return Thresholds(score("reject_score"), score("spam_score"), score("defer_score"))


def _keys(address: Address, real: str, targets: tuple[Address, ...]) -> list[str]:
    """Under which addresses a person may have written rules for this mail: the address itself, without its tag, and the one mailbox behind it."""
    own = Address(address.local, real)
    keys = [own.key, own.untagged.key]
    if len(targets) == 1:
        keys += [targets[0].key, targets[0].untagged.key]
    return list(dict.fromkeys(keys))
