"""Where the files that ship with the program are: templates, default settings, static files.

`templates/` and `etc/` stand at the top of a checkout and are linked into the package, so a checkout, an editable install and a wheel
(where the links have become folders) all answer with the same place below the package. Nothing here reads or checks the files.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def templates() -> Path:
    """The folder of Jinja templates."""
    return _PACKAGE / "templates"


def defaults() -> Path:
    """The folder of commented default settings: jetmail.toml, rules.toml, scores.toml, providers.toml, maps, jetmail.service, jetmail.socket."""
    return _PACKAGE / "etc"


def static() -> Path:
    """The folder of the web site's style sheets, scripts and pictures."""
    return _PACKAGE / "web" / "static"
