"""Tells a running jetmail that the command line wrote to its store: one datagram to DIR/var/jetmail.sock.

A nudge and nothing more: the process looks at the store when it comes and would notice a little later without it. So no answer is waited for,
and a process that is not there, or does not listen, is no error. `socket_path` is the one place that says where the socket is.
"""

from __future__ import annotations

import socket
from pathlib import Path

DATAGRAM = b"wake\n"


def socket_path(directory: str | Path) -> Path:
    """Where the process that runs on `directory` listens."""
    return Path(directory) / "var" / "jetmail.sock"


def wake(directory: str | Path) -> bool:
    """Send the nudge. -> True when somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(DATAGRAM, str(socket_path(directory)))
        except OSError:  # absent, nobody listening, its buffer full (so it is awake anyway), a path too long for a socket
            return False
    return True
