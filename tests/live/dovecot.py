"""A private Dovecot that does nothing but check passwords for a private Postfix (SASL), in a directory of its own.

Needs root and Debian's package dovecot-core. One user, whose password is kept as the caller says: `{PLAIN}...`, `{ARGON2ID}$argon2id$...`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.live.harness import wait_until


def missing() -> str:
    """Why there can be no private Dovecot here, or ''."""
    if os.geteuid() != 0:
        return "a private Dovecot needs root"
    if program() is None:
        return "dovecot is not installed (Debian: apt-get install --no-install-recommends dovecot-core)"
    return ""


def program() -> str | None:
    """Where it is."""
    return shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Dovecot:
    """Listens on the UNIX socket `socket`, which the group of `user` may use."""

    def __init__(self, name: str, kept: str, user: str = "postfix") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="dovecot-peer-"))
        self.directory.chmod(0o755)
        self.socket = self.directory / "auth"
        (self.directory / "passwd").write_text(f"{name}:{kept}\n")
        self.file = self.directory / "dovecot.conf"
        self.file.write_text(
            f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/run
log_path = {self.directory}/log
protocols =
ssl = no
auth_mechanisms = plain login
auth_username_format = %u
passdb {{
  driver = passwd-file
  args = {self.directory}/passwd
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {self.socket} {{
    mode = 0660
    user = {user}
    group = {user}
  }}
}}
"""
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Dovecot:
        self.process = subprocess.Popen([str(program()), "-F", "-c", str(self.file)], stdin=subprocess.DEVNULL)
        wait_until(lambda: self.socket.exists() or self.process is None or self.process.poll() is not None, 10, "the private Dovecot listens")
        if self.process.poll() is not None:
            raise AssertionError(f"dovecot: {self.log()}")
        return self

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)
