"""What `jetmail check` looks at in files and directories that settings and rules name. See checks.py, whose list these are part of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jetmail import config as settings
from jetmail.cli.problem import Problem, from_text
from jetmail.errors import ConfigError

EXPIRY_NOTICE_DAYS = 14
T = TypeVar("T")


def certificate(config: settings.Config) -> Iterator[Problem]:
    """Certificate and key can be read, belong together and have not expired."""
    if config.tls.certificate:  # else a self-signed one is made at the first start
        yield from _pair(config, ("tls.certificate", config.path(config.tls.certificate)), ("tls.key", config.path(config.tls.key)))


def policy_certificates(config: settings.Config) -> Iterator[Problem]:
    """The certificates of the MTA-STS policies we serve: their directory is there, and each is what the server's own has to be."""
    key = "web.policy_certificates"
    folder = config.path(config.web.policy_certificates) if config.web.policy_certificates else config.state / "tls"
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith("mta-sts.") and path.suffix == ".pem")
    except OSError as error:
        if config.web.policy_certificates:  # the usual one is made when the first certificate is put there
            yield Problem(config.file.name, key, f"{folder}: {error.strerror or error}")
        return
    for path in found if config.web.policy_port else ():
        yield from _pair(config, (key, path), (key, path), path.stem)


def _pair(config: settings.Config, certificate: tuple[str, Path], key: tuple[str, Path], name: str = "") -> Iterator[Problem]:
    """A certificate and its key, each with the setting that names it. `name`: whose it must be."""

    def problem(of: tuple[str, Path], reason: str, is_warning: bool = False) -> Problem:
        return Problem(config.file.name, of[0], f"{of[1]}: {reason}", is_warning)

    try:
        found = x509.load_pem_x509_certificate(certificate[1].read_bytes())
    except (OSError, ValueError) as error:
        yield problem(certificate, getattr(error, "strerror", None) or "is not a certificate in PEM form")
        return
    left = (found.not_valid_after_utc - datetime.now(UTC)).days
    if left < 0:
        yield problem(certificate, f"expired on {found.not_valid_after_utc:%Y-%m-%d}")
    elif left < EXPIRY_NOTICE_DAYS:
        yield problem(certificate, f"expires on {found.not_valid_after_utc:%Y-%m-%d}, in {left} days", is_warning=True)
    if name and not {name, "*." + name.partition(".")[2]} & _names(found):
        yield problem(certificate, f"is not a certificate for {name}")
    try:
        private = serialization.load_pem_private_key(key[1].read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        yield problem(key, getattr(error, "strerror", None) or "is not an unencrypted private key in PEM form")
        return
    if _public(private.public_key()) != _public(found.public_key()):
        yield problem(key, f"does not belong to the certificate {certificate[1]}")


def _names(found: x509.Certificate) -> set[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return {name.lower() for name in names.get_values_for_type(x509.DNSName)}


def _public(key) -> bytes:  # type: ignore[no-untyped-def]
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def files(config: settings.Config) -> Iterator[Problem]:
    """Authorities and passwords that settings name can be read."""
    for key, name in (("delivery.ca_file", config.delivery.ca_file), ("ldap.ca_file", config.ldap.ca_file)):
        if not name:
            continue
        try:
            x509.load_pem_x509_certificates(config.path(name).read_bytes())
        except (OSError, ValueError) as error:
            yield Problem(config.file.name, key, f"{config.path(name)}: {getattr(error, 'strerror', None) or 'holds no certificates in PEM form'}")
    for wanted, read in ((config.delivery.smarthost_username, settings.password), (config.ldap.password_file, settings.ldap_password)):
        try:
            if wanted:
                read(config)
        except ConfigError as error:
            yield from (from_text(problem) for problem in error.problems)


def scores(config: settings.Config) -> Iterator[Problem]:
    """etc/scores.toml weighs symbols that the rules of the chain can find."""
    from jetmail.rules import registry, symbols

    try:
        chain = registry.load(config.rules_file)
    except ConfigError:
        return  # rule_chain says so
    try:
        symbols.load(config.file.parent / "scores.toml", chain.symbols)
    except ConfigError as error:
        yield from (from_text(problem) for problem in error.problems)


def lists(config: settings.Config) -> Iterator[Problem]:
    """The lists in files that rules name make sense. Of one that is not there it is only said: jetmail waits for it."""
    from jetmail.rules import mapfile
    from jetmail.rules.checks.maps import MapsOptions

    wanted = dict.fromkeys(each.file for _, options in _options(config, MapsOptions) for each in options.lists)
    for path in (config.file.parent / name for name in wanted):
        if mapfile.stamp(path) == mapfile.NOTHING:
            yield Problem(str(path), "file", "is not there: it counts as empty until it is", is_warning=True)
            continue
        try:
            mapfile.read(path)
        except mapfile.BadFile as error:
            yield from (Problem(str(path), f"line {line}" if line else "file", reason) for line, reason in error.faults[: mapfile.MAX_TOLD])


def scanners(config: settings.Config) -> Iterator[Problem]:
    """The socket of a virus scanner that is to be asked is there. A warning: what becomes of mail without it is the rule's `if_down`."""
    from jetmail.rules.checks.clamav import ClamavOptions

    for name, options in _options(config, ClamavOptions):
        if options.enabled and options.socket.startswith("/") and not Path(options.socket).is_socket():
            yield Problem(str(config.rules_file), f"{name}.socket", f"there is no socket {options.socket}: is clamd running?", is_warning=True)


def _options(config: settings.Config, kind: type[T]) -> Iterator[tuple[str, T]]:
    """(name, options) of every rule of the chain that has options of this kind; none when the chain cannot be read, which rule_chain says."""
    from jetmail.rules import registry

    try:
        entries = registry.load(config.rules_file).entries
    except ConfigError:
        return
    for entry in entries:
        if isinstance(options := getattr(entry.rule, "options", None), kind):
            yield entry.name, options
