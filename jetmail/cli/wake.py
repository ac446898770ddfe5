"""Tells a running jetmail that the command line wrote to its store: one datagram to its local socket (`Config.socket`).

A nudge and nothing more: the process looks at the store when it comes and would notice a little later without it. So no answer is waited for,
and a process that is not there, or does not listen, is no error.
"""

from __future__ import annotations

import socket
from pathlib import Path

DATAGRAM = b"wake\n"


def wake(path: str | Path) -> bool:
    """Send the nudge to the socket at `path`. -> True when somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(DATAGRAM, str(path))
        except OSError:  # absent, nobody listening, its buffer full (so it is awake anyway), a path too long for a socket
            return False
    return True
