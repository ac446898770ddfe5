"""What the machine says: addresses of ours, sockets from systemd, users to become."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from jetmail import host
from jetmail.errors import ConfigError


def test_own_endpoints() -> None:
    """An address of this machine on one of our ports is us; another port, or another machine, is not."""
    own = host.OwnEndpoints({25: frozenset({""}), 587: frozenset({"192.0.2.1"})})
    assert ("127.0.0.1", 25) in own and ("192.0.2.1", 587) in own
    assert ("127.0.0.1", 26) not in own and ("192.0.2.9", 25) not in own and ("127.0.0.1", 587) not in own and "x" not in own


def test_environment_of_the_start(tmp_path: Path) -> None:
    """The block the process was started with, whatever has been taken out of os.environ since."""
    (tmp_path / "environ").write_bytes(b"LISTEN_FDS=1\0LISTEN_PID=7\0odd\0X=a=b\0")
    assert host.first_environment(str(tmp_path / "environ")) == {"LISTEN_FDS": "1", "LISTEN_PID": "7", "X": "a=b"}
    assert host.first_environment(str(tmp_path / "none")) == dict(os.environ)


def test_sockets_of_somebody_else() -> None:
    """Without LISTEN_PID, or with another process's, there are none."""
    assert host.inherited_sockets({}, 7) == {}
    assert host.inherited_sockets({"LISTEN_PID": "8", "LISTEN_FDS": "3"}, 7) == {}


def test_inherited_socket_is_found_by_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket is told by the port it is bound to, and is not handed on to children."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        monkeypatch.setattr(host, "FIRST_FD", listening.fileno())
        found = host.inherited_sockets({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, 7)
        assert found == {listening.getsockname()[1]: [listening.fileno()]}
        assert not os.get_inheritable(listening.fileno())


def test_identity() -> None:
    """A user by name is its ids; one that does not exist is said; none is none."""
    assert host.identity("", "") is None
    assert host.identity("root", "") == (0, 0)
    with pytest.raises(ConfigError, match="no-such-user"):
        host.identity("no-such-user", "")


def test_state_directory_that_cannot_be(tmp_path: Path) -> None:
    """A file in its place is said with the path."""
    (tmp_path / "var").write_text("")
    with pytest.raises(ConfigError, match="var"):
        host.give_to(tmp_path / "var", None)


def test_memory_is_given_back_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that can give memory back is asked once for all of it; one that cannot is left alone."""
    asked: list[int] = []
    monkeypatch.setattr(host.ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=asked.append))
    host.give_back_memory()
    assert asked == [0]
    monkeypatch.setattr(host.ctypes, "CDLL", lambda name: SimpleNamespace())
    host.give_back_memory()
    assert asked == [0]
