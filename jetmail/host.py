"""What the machine says and allows: its name, its addresses, sockets handed over by systemd, and leaving root behind.

Used by app at boot and by the router for loop detection. Raises ConfigError where the sysadmin must act.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from jetmail.errors import ConfigError

FIRST_FD = 3  # sd_listen_fds(3)


def refuse_to_start(sentence: str) -> NoReturn:
    """Tell whoever started us why it cannot be, on the terminal itself (sys.stderr is the log by then), and end with code 1."""
    print(f"jetmail: {sentence}", file=sys.__stderr__, flush=True)
    raise SystemExit(1)


def full_hostname() -> str:
    """The system's own name, with its domain where it knows one."""
    name = socket.gethostname()
    if "." not in name:
        full = socket.getfqdn(name)
        name = full if "." in full and not full.startswith("localhost") else name
    return name.lower().rstrip(".") or "localhost"


def is_own_address(address: str) -> bool:
    """True when the address belongs to this machine: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class OwnEndpoints:
    """`(address, port) in endpoints`: would connecting there reach one of our own listeners? `ports` maps each port to the addresses it is bound to
    ('' is all of them)."""

    def __init__(self, ports: Mapping[int, frozenset[str]]) -> None:
        self._ports = ports

    def __contains__(self, endpoint: object) -> bool:
        if not isinstance(endpoint, tuple):
            return False
        address, port = endpoint
        bound = self._ports.get(port)
        return bound is not None and (address in bound or ("" in bound and is_own_address(address)))


def first_environment(path: str = "/proc/self/environ") -> dict[str, str]:
    """The environment this process was started with. systemd's word of its sockets is taken out of os.environ by the framework's own support for
    socket activation as soon as its endpoints are imported, so os.environ is the wrong place to look."""
    try:
        pairs = Path(path).read_bytes().split(b"\0")
    except OSError:
        return dict(os.environ)
    return {os.fsdecode(name): os.fsdecode(value) for name, equals, value in (pair.partition(b"=") for pair in pairs) if equals}


def inherited_sockets(environ: Mapping[str, str], pid: int) -> dict[int, list[int]]:
    """Port -> descriptors of the listening TCP sockets systemd opened for us; empty without socket activation. Raises ConfigError."""
    if environ.get("LISTEN_PID") != str(pid):
        return {}
    found: dict[int, list[int]] = {}
    for fd in range(FIRST_FD, FIRST_FD + int(environ.get("LISTEN_FDS", "0"))):
        try:
            with socket.socket(fileno=os.dup(fd)) as probe:
                name = probe.getsockname()
        except OSError as error:
            raise ConfigError([f"systemd: descriptor {fd} is no socket: {error.strerror}"]) from error
        if isinstance(name, tuple):
            found.setdefault(name[1], []).append(fd)
        os.set_inheritable(fd, False)
    return found


def identity(user: str, group: str) -> tuple[int, int] | None:
    """(uid, gid) of the user to become; None when none is named. Raises ConfigError."""
    if not user:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise ConfigError([f"server.user: there is no user {user!r} on this system"]) from error
    try:
        return entry.pw_uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError as error:
        raise ConfigError([f"server.group: there is no group {group!r} on this system"]) from error


def barred(path: Path, user: str, owner: tuple[int, int]) -> Path | None:
    """The first folder on the way to `path` that this user may not pass, or `path` itself when they may not read it; None when all is well.
    Goes by owner, groups and modes, as the kernel does for whoever is not root. Raises OSError."""
    uid, gid = owner
    groups = {gid, *os.getgrouplist(user, gid)}
    whole = path.resolve()
    for place in (*reversed(whole.parents), whole):
        found = place.stat()
        bits = found.st_mode >> (6 if found.st_uid == uid else 3 if found.st_gid in groups else 0) & 7
        needed = 1 if place != whole else 5 if stat.S_ISDIR(found.st_mode) else 4
        if uid and bits & needed != needed:
            return place
    return None


def give_to(directory: Path, owner: tuple[int, int] | None) -> None:
    """Make the directory, and hand it and what is in it to `owner` when we are root. Raises ConfigError."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        if owner is not None and os.geteuid() == 0:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, *owner, follow_symlinks=False)
    except OSError as error:
        raise ConfigError([f"{directory}: cannot be used as the state directory: {error.strerror}"]) from error


def leave_root(user: str, owner: tuple[int, int] | None) -> None:
    """Become that user for good, with its groups. Does nothing when we are not root or nobody is named."""
    if owner is None or os.geteuid() != 0:
        return
    uid, gid = owner
    os.initgroups(user, gid)
    os.setgid(gid)
    os.setuid(uid)


def bracketed(address: str) -> str:
    """An address as it stands before a colon and a port."""
    return f"[{address}]" if ":" in address else address


def size_of(path: Path) -> int:
    """Octets of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def give_back_memory() -> None:
    """What boot has used and freed goes back to the system, where the C library can do that."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
