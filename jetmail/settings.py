"""How settings are declared and read: a frozen dataclass a section, each field with its sentence and its bounds, and every fault found at once.

`setting` declares, `converter` builds what tomllib read into the classes, `faults` turns the exception of a failed build into (key, reason) pairs,
`as_toml` writes a value, `sample` a file of defaults. Knows no setting by name: those are config.py's.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

import cattrs
from cattrs.gen import make_dict_structure_fn


def setting(default: Any, text: str, *, low: float | None = None, high: float | None = None, secret: bool = False) -> Any:
    """A declared setting: its default (a tuple of values, a number, a text), what it does in a sentence, and its bounds."""
    return dataclasses.field(default=default, metadata={"text": text, "low": low, "high": high, "secret": secret})


def as_toml(value: Any) -> str:
    """A value as it stands in a TOML file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def sample(sections: tuple[type, ...]) -> list[str]:
    """The lines of a file that shows every setting with its sentence, its bounds and its default, commented out."""
    lines: list[str] = []
    for section in sections:
        name = section.__name__.lower()
        lines += ["", "# " + (section.__doc__ or "").split("] ", 1)[1], *(["#", "# [[listener]]"] if name == "listener" else [f"[{name}]"])]
        for field in dataclasses.fields(section):
            low, high = field.metadata["low"], field.metadata["high"]
            bounds = f" ({low:.12g} to {high:.12g})" if low is not None and high is not None else f" (at least {low:.12g})" if low is not None else ""
            lines += [f"# {field.metadata['text']}{bounds}", f"# {field.name} = {as_toml(field.default)}"]
    return lines


def converter(sections: tuple[type, ...]) -> cattrs.Converter:
    """Turns what tomllib read into the sections' classes. A fault raises, and `faults` tells them all."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(int, lambda value, _: _number(value, int))
    converter.register_structure_hook(float, lambda value, _: _number(value, float))
    converter.register_structure_hook(str, lambda value, _: _text(value))
    converter.register_structure_hook(bool, lambda value, _: _flag(value))
    converter.register_structure_hook_func(lambda kind: typing.get_origin(kind) is Literal, lambda value, kind: _choice(value, typing.get_args(kind)))
    converter.register_structure_hook_func(
        lambda kind: typing.get_origin(kind) is tuple, lambda value, kind: _list(converter, value, typing.get_args(kind)[0])
    )
    for section in sections:
        converter.register_structure_hook(section, _bounded(section, make_dict_structure_fn(section, converter, _cattrs_forbid_extra_keys=True)))
    return converter


def _bounded(section: type, build: Any) -> Any:
    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("must be a table of settings")
        found: list[Exception] = []
        for field in dataclasses.fields(section):
            low, high = field.metadata["low"], field.metadata["high"]
            given = value.get(field.name)
            for number in given if isinstance(given, list) else (given,):
                if isinstance(number, int | float) and ((low is not None and number < low) or (high is not None and number > high)):
                    bounds = f"{number:g} is not between {low or 0:g} and {high:g}" if high is not None else f"must be at least {low:g}"
                    found.append(_Bound(field.name, bounds))
        try:
            made = build(value, kind)
        except Exception as error:
            found.append(error)
        if found:
            raise ExceptionGroup("section", found)
        return made

    return structure


class _Bound(ValueError):
    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and value != int(value)) or value != value:
        raise ValueError("must be a whole number" if kind is int else "must be a number")
    return kind(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")
    if any(ord(character) < 32 for character in value):
        raise ValueError("must not have control characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _choice(value: Any, words: tuple) -> Any:
    if value not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return value


def _list(converter: cattrs.Converter, value: Any, kind: Any) -> tuple:
    if not isinstance(value, list):
        raise ValueError("must be a list in [ ]")
    found: list[Exception] = []
    made = []
    for index, each in enumerate(value):
        try:
            made.append(converter.structure(each, kind))
        except Exception as error:
            found += [_Bound(f"[{index}]{'.' if at else ''}{at}", reason) for at, reason in faults(error)]
    if found:
        raise ExceptionGroup("list", found)
    return tuple(made)


def faults(error: BaseException, at: str = "") -> list[tuple[str, str]]:
    """Every fault inside cattrs' group of groups as (key, reason)."""
    if isinstance(error, _Bound):
        return [(at + error.key if not at or error.key.startswith("[") else f"{at}.{error.key}", str(error))]
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return [(f"{at}.{key}".strip("."), "unknown setting") for key in sorted(error.extra_fields)]
    if not isinstance(error, BaseExceptionGroup):
        return [(at, str(error))]
    result = []
    for inner in error.exceptions:
        note = next((each for each in getattr(inner, "__notes__", []) if hasattr(each, "name")), None)
        result += faults(inner, f"{at}.{note.name}".strip(".") if note is not None else at)
    return result
