"""A private Postfix in a directory of its own, beside the system's: a peer to talk with and to measure against.

Needs root (Postfix insists) and Debian's package postfix. Everything it takes from 127.0.0.1 for example.test goes to `next_port` of 127.0.0.1,
or stays queued (`next_port` 0). Its directory is made readable for the postfix user, so it must not lie below one that is private.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.live.harness import free_port, wait_until

MASTER = (Path("/usr/share/postfix/master.cf.dist"), Path("/etc/postfix/master.cf"))
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")


def missing() -> str:
    """Why there can be no private Postfix here, or ''."""
    if os.geteuid() != 0:
        return "a private Postfix needs root"
    if not shutil.which("postfix", path=os.environ.get("PATH", "") + ":/usr/sbin") or not any(path.exists() for path in MASTER):
        return "postfix is not installed (Debian: apt-get install postfix)"
    return ""


class Postfix:
    """`options` are lines of main.cf laid over the ones below."""

    def __init__(self, next_port: int = 0, options: dict[str, str] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="postfix-peer-"))
        self.port = free_port()
        self.settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.directory / "spool"),
            "data_directory": str(self.directory / "data"),
            "maillog_file": str(self.directory / "log"),
            "maillog_file_prefixes": str(self.directory),
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": "peer.example.test",
            "mydestination": "",
            "alias_maps": "",
            "local_recipient_maps": "",
            "relay_domains": "example.test",
            "relay_recipient_maps": "",
            "transport_maps": f"static:smtp:[127.0.0.1]:{next_port or free_port()}",
            "mynetworks": "127.0.0.0/8",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "default_process_limit": "100",
            "smtp_tls_security_level": "none",
            "message_size_limit": "104857600",
            **({} if next_port else {"defer_transports": "smtp"}),
            **(options or {}),
        }

    def start(self) -> Postfix:
        for name in ("etc", "spool", "data"):
            (self.directory / name).mkdir()
        self.directory.chmod(0o755)
        shutil.chown(self.directory / "data", "postfix")
        text = next(path for path in MASTER if path.exists()).read_text()
        text = re.sub(r"^(smtp|[0-9]+)( +inet)", rf"127.0.0.1:{self.port}\2", text, flags=re.MULTILINE)
        text = re.sub(r"^([a-z0-9.:]+ +(?:inet|unix|fifo|pass) +[-yn] +[-yn?] +)[-y]( )", r"\1n\2", text, flags=re.MULTILINE)  # no chroot
        if not re.search(r"^postlog", text, flags=re.MULTILINE):
            text += "postlog unix-dgram n - n - 1 postlogd\n"
        (self.directory / "etc" / "master.cf").write_text(text)
        (self.directory / "etc" / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in self.settings.items()))
        self.command("start")
        wait_until(lambda: (self.directory / "spool" / "pid" / "master.pid").exists(), 10, "the private Postfix runs")
        return self

    def command(self, *words: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", str(self.directory / "etc"), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"},
        )
        if done.returncode:
            raise AssertionError(f"postfix {' '.join(words)}: {done.stderr.strip() or self.log()}")

    def queued(self) -> int:
        """Messages in its queues, counted by the name of their file: one that moves from queue to queue while we look is met twice."""
        return len({file for name in QUEUES for _, _, files in os.walk(self.directory / "spool" / name) for file in files})

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def stop(self) -> None:
        try:
            self.command("stop")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Postfix:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.stop()
