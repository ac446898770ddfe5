"""etc/rules.toml -> Chain. The one door by which rules come in, ours and anybody's.

    [[rule]]
    name = "size"                                        # unique; what `after` and `needs` of other rules say, and the log
    class = "jetmail.rules.checks.size.SizeLimit"        # any importable class that provides IRule
    options = { max_size = 26214400 }                    # checked against the class's own Options
    after = ["..."]      timeout = 5      on_error = "defer" | "skip"        # each optional: over what the class says

A rule class is called with `(name, options)`. Its attribute `Options` is a dataclass of what may be set (values, types, defaults); its `__init__`
raises ValueError for options that make no sense together. Besides what IRule promises it may have `level` (LIST rules: whose word it carries),
`SYMBOLS` (rules.symbols: what it finds, with weights and explanations) and `bind(services)` (rules.services: the parts of the house it uses).

Raises ConfigError with every problem at once: unknown class, duplicate name, missing need, unknown `after`, a circle, bad options, a POLICY
rule that would be skipped on error, no rule at all. A chain that is half right is never run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cattrs
from cattrs.v import transform_error
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from jetmail.errors import ConfigError
from jetmail.interfaces import IRule
from jetmail.rules.chain import Chain, Entry
from jetmail.rules.verdict import Kind, Level, OnError, Scope, Stage

_KEYS = {"name", "class", "options", "after", "timeout", "on_error"}
MAX_TIMEOUT = 300.0

_converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)


@_converter.register_structure_hook
def _strict_int(value: Any, _: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("must be a whole number")
    return value


@_converter.register_structure_hook
def _strict_float(value: Any, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("must be a number")
    return float(value)


@_converter.register_structure_hook
def _strict_bool(value: Any, _: type) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


@_converter.register_structure_hook
def _strict_str(value: Any, _: type) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return value


def load(path: str | Path) -> Chain:
    """The chain of a rules.toml. Raises ConfigError."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from error
    return parse(text, str(path))


def parse(text: str, where: str = "rules.toml") -> Chain:
    """The chain of the text of a rules.toml; `where` is how problems name it. Raises ConfigError."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits and tables a thousand deep included
        raise ConfigError([f"{where}: {error}"]) from error
    problems = [f"{where}: {key}: unknown key" for key in data if key != "rule"]
    tables = data.get("rule", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ConfigError([*problems, f"{where}: rule: at least one [[rule]] is needed"])
    drafts = [draft for place, table in enumerate(tables) if (draft := _draft(table, place, problems)) is not None]
    _check_names(drafts, problems)
    layers = _layers(drafts, problems)
    if problems:
        raise ConfigError([problem if problem.startswith(f"{where}: ") else f"{where}: {problem}" for problem in problems])
    ordered = sorted(drafts, key=lambda draft: (draft.rule.stage, layers[draft.name], draft.place))
    return Chain([draft.entry(order, layers[draft.name]) for order, draft in enumerate(ordered)])


class _Draft:
    """An entry on its way into the chain. `where` names it in problems."""

    def __init__(self, place: int, name: str, path: str, rule: Any, after: tuple[str, ...], timeout: float, on_error: OnError) -> None:
        self.place = place
        self.name = name
        self.path = path
        self.rule = rule
        self.after = after
        self.timeout = timeout
        self.on_error = on_error

    def entry(self, order: int, layer: int) -> Entry:
        """The finished entry."""
        rule = self.rule
        return Entry(order, self.name, self.path, rule, rule.stage, rule.kind, rule.scope, getattr(rule, "level", Level.DOMAIN), layer, self.after,
                     tuple(rule.needs), self.timeout, self.on_error)  # fmt: skip


def _draft(table: Mapping[str, Any], place: int, problems: list[str]) -> _Draft | None:
    name = table.get("name")
    if not isinstance(name, str) or not name or not name.replace("-", "").replace("_", "").isalnum():
        problems.append(f"rule[{place}].name: a word of letters, digits, - and _ is needed")
        return None
    key = f"rule '{name}'"
    before = len(problems)
    problems += [f"{key}: {unknown}: unknown key" for unknown in table if unknown not in _KEYS]
    path = table.get("class")
    made = _class(path, key, problems)
    rule = _built(made, name, table.get("options", {}), key, problems) if made is not None else None
    if rule is None:
        return None
    after = table.get("after", [])
    if not isinstance(after, list) or not all(isinstance(each, str) for each in after):
        problems.append(f"{key}: after: must be a list of names")
        after = []
    timeout = table.get("timeout", rule.timeout)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MAX_TIMEOUT:
        problems.append(f"{key}: timeout: must be over 0 and at most {MAX_TIMEOUT:.0f} seconds")
    on_error = rule.on_error
    if "on_error" in table:
        if table["on_error"] not in ("defer", "skip"):
            problems.append(f"{key}: on_error: must be 'defer' or 'skip'")
        else:
            on_error = OnError(table["on_error"])
    if rule.kind is Kind.POLICY and on_error is OnError.SKIP:
        problems.append(f"{key}: on_error: a POLICY rule may only defer: skipping it would let through what it guards against")
    if len(problems) > before:
        return None
    return _Draft(place, name, str(path), rule, tuple(dict.fromkeys([*rule.after, *after])), float(timeout), on_error)


def _class(path: Any, key: str, problems: list[str]) -> Any:
    if not isinstance(path, str) or "." not in path:
        problems.append(f"{key}: class: a dotted path like 'package.module.Class' is needed")
        return None
    module_name, _, class_name = path.rpartition(".")
    try:
        made = getattr(import_module(module_name), class_name)
    except Exception as error:  # whatever a stranger's module does while it is imported is a problem of this entry
        problems.append(f"{key}: class: {path} cannot be loaded: {type(error).__name__}: {error}")
        return None
    if not isinstance(made, type) or not IRule.implementedBy(made):
        problems.append(f"{key}: class: {path} is no class that says @implementer(IRule)")
        return None
    return made


def _built(made: Any, name: str, options: Any, key: str, problems: list[str]) -> Any:
    declared: Any = getattr(made, "Options", None)
    if not isinstance(declared, type) or not is_dataclass(declared):
        problems.append(f"{key}: class: has no Options, a dataclass of what may be set")
        return None
    if not isinstance(options, dict):
        problems.append(f"{key}: options: must be a table")
        return None
    try:
        rule = made(name, _converter.structure(options, declared))
    except cattrs.BaseValidationError as error:
        problems += [f"{key}: options{reason}" for reason in _reasons(error)]
        return None
    except Exception as error:  # the rule's own word on its options, or its own fault: either way it cannot run
        problems.append(f"{key}: options: {error or type(error).__name__}")
        return None
    try:
        verifyObject(IRule, rule)
        for attribute, kind in (("stage", Stage), ("kind", Kind), ("scope", Scope), ("on_error", OnError), ("level", Level)):
            if not isinstance(getattr(rule, attribute, Level.DOMAIN if attribute == "level" else None), kind):
                raise TypeError(f"its {attribute} is no {kind.__name__}")
        if rule.scope is Scope.RECIPIENT and rule.stage < Stage.RECIPIENT:
            raise TypeError(f"it is asked about a recipient at {rule.stage.name}, when there is none")
    except (Invalid, TypeError) as error:
        problems.append(f"{key}: class: {' '.join(str(error).split())}")
        return None
    return rule


def _reasons(error: BaseException) -> list[str]:
    def say(exception: BaseException, _: type | None) -> str:
        if isinstance(exception, cattrs.ForbiddenExtraKeysError):
            return f"unknown: {', '.join(sorted(exception.extra_fields))}"
        if isinstance(exception, KeyError):
            return "is needed"
        return str(exception) or type(exception).__name__

    reasons = []
    for line in transform_error(error, path="", format_exception=say):
        text, _, path = line.rpartition(" @ ")
        reasons.append(f"{path}: {text}" if path else f": {text}")
    return reasons


def _check_names(drafts: list[_Draft], problems: list[str]) -> None:
    by_name: dict[str, _Draft] = {}
    for draft in drafts:
        if draft.name in by_name:
            problems.append(f"rule '{draft.name}': name: is used twice")
        by_name[draft.name] = draft
    for draft in drafts:
        for needed in draft.rule.needs:
            if needed not in by_name:
                problems.append(f"rule '{draft.name}': needs '{needed}', which is not configured")
        for earlier in draft.after:
            if earlier not in by_name:
                problems.append(f"rule '{draft.name}': after: '{earlier}' is not configured")
            elif by_name[earlier].rule.stage > draft.rule.stage:
                problems.append(f"rule '{draft.name}': after: '{earlier}' is asked at a later stage")


def _layers(drafts: list[_Draft], problems: list[str]) -> dict[str, int]:
    """The layer of each rule: 0, or one more than the highest among those of its stage it comes after."""
    by_name = {draft.name: draft for draft in drafts}
    layers: dict[str, int] = {}
    left = list(by_name.values())
    while left:
        ready = [draft for draft in left if all(each in layers or each not in by_name for each in _same_stage(draft, by_name))]
        if not ready:
            problems.append(f"after: a circle among {', '.join(sorted(draft.name for draft in left))}")
            return dict.fromkeys(by_name, 0)
        for draft in ready:
            layers[draft.name] = max((layers[each] + 1 for each in _same_stage(draft, by_name) if each in layers), default=0)
        left = [draft for draft in left if draft.name not in layers]
    return layers


def _same_stage(draft: _Draft, by_name: Mapping[str, _Draft]) -> list[str]:
    return [each for each in draft.after if each in by_name and by_name[each].rule.stage == draft.rule.stage]
