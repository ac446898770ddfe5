"""A private Postfix with a private rspamd behind its milter, and a private Redis for rspamd's Bayes: the peer of bench `filtered`.

All from Debian's packages (postfix, rspamd, redis-server), with rspamd's own rules and workers as shipped, but for: ports, directories and the name
server are the bench's; 127.0.0.1 counts as a stranger (the client is one), so that SPF, DKIM and DMARC are asked; what would leave the machine is
off (rbl, asn, phishing, fuzzy), as lists are off on our side; so are greylisting and rate limits, which would defer the load, and signing. Bayes
is taught TAUGHT of each kind, as many as make it speak. It adds Authentication-Results, by which its work is proved.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import letters
from tests.live import postfix
from tests.live.daemons import answers, started
from tests.live.harness import free_port

TAUGHT = 250
PATH = os.environ.get("PATH", "") + ":/usr/sbin"
# Leave the machine, defer, sign what is ours to send, or keep books for other messages.
OFF = tuple("rbl asn phishing fuzzy_check mx_check url_redirector greylist ratelimit dkim_signing neural replies history_redis".split())


def missing() -> str:
    """Why this peer cannot be had here, or ''."""
    if why := postfix.missing():
        return why
    absent = [name for name in ("rspamd", "rspamc", "redis-server", "redis-cli") if not shutil.which(name, path=PATH)]
    return f"{', '.join(absent)} not installed (Debian: apt-get install rspamd redis-server)" if absent else ""


class PostfixRspamd:
    """Takes mail for example.test and relays it to `sink_port`. `learns`: with Redis and a taught Bayes."""

    name = "postfix+rspamd"
    host = "127.0.0.1"

    def __init__(self, sink_port: int, name_port: int, now: float, learns: bool = True) -> None:
        if why := missing():
            raise SystemExit(f"--postfix-rspamd: {why}")
        self._stack = ExitStack()
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="rspamd-peer-"))
            self._stack.callback(shutil.rmtree, self._directory, True)
            self._directory.chmod(0o755)
            redis = self._redis() if learns else 0
            milter, controller = self._rspamd(name_port, redis)
            if learns:
                self._teach(controller, now)
            options = {"smtpd_milters": f"inet:127.0.0.1:{milter}", "milter_default_action": "tempfail"}
            self.postfix = self._stack.enter_context(postfix.Postfix(sink_port, options))
        except BaseException:
            self._stack.close()
            raise
        self.port = self.postfix.port

    def _redis(self) -> int:
        port = free_port()
        words = [str(shutil.which("redis-server", path=PATH)), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        words += ["--dir", str(self._directory)]
        self._stack.enter_context(started(words, self._directory / "redis.log", lambda: answers(port), "redis listens"))
        return port

    def _rspamd(self, name_port: int, redis: int) -> tuple[int, int]:
        place = self._directory / "rspamd"
        milter, normal, controller = free_port(), free_port(), free_port()
        written = {
            "worker-normal.inc": f'bind_socket = "127.0.0.1:{normal}";\n',
            "worker-proxy.inc": f'bind_socket = "127.0.0.1:{milter}";\nupstream "local" {{ default = yes; hosts = "127.0.0.1:{normal}"; }}\n',
            "worker-controller.inc": f'bind_socket = "127.0.0.1:{controller}";\nsecure_ip = "127.0.0.1";\n',
            "options.inc": f'dns {{ nameserver = ["127.0.0.1:{name_port}"]; }}\nfilters = "chartable,dkim,regexp";\n',
            "logging.inc": 'type = "console";\nlevel = "warning";\n',
            "milter_headers.conf": 'use = ["authentication-results", "x-spamd-result"];\nskip_local = false;\nskip_authenticated = false;\n',
            **{f"{module}.conf": "check_local = true;\n" for module in ("spf", "dkim", "dmarc")},
            **{f"{module}.conf": "enabled = false;\n" for module in OFF},
        }
        if redis:
            written["redis.conf"] = f'servers = "127.0.0.1:{redis}";\n'
            written["classifier-bayes.conf"] = f'servers = "127.0.0.1:{redis}";\nbackend = "redis";\nmin_learns = 200;\n'
        for folder in ("local.d", "run", "db", "log"):
            (place / folder).mkdir(parents=True)
        for name, text in written.items():
            (place / "local.d" / name).write_text(text)
        owner = pwd.getpwnam("_rspamd")
        for path in (place, *place.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        words = [str(shutil.which("rspamd", path=PATH)), "-f", "-c", "/etc/rspamd/rspamd.conf", f"--var=LOCAL_CONFDIR={place}"]
        words += [f"--var=DBDIR={place / 'db'}", f"--var=RUNDIR={place / 'run'}", f"--var=LOGDIR={place / 'log'}", "-u", "_rspamd", "-g", "_rspamd"]
        ready = [milter, normal, controller]
        self._stack.enter_context(started(words, self._directory / "rspamd.out", lambda: all(map(answers, ready)), "rspamd listens"))
        return milter, controller

    def _teach(self, controller: int, now: float) -> None:
        for kind in ("spam", "ham"):
            folder = self._directory / kind
            folder.mkdir()
            for number in range(TAUGHT):
                (folder / f"{number}.eml").write_bytes(letters.lesson(number, kind == "spam", now))
            words = [str(shutil.which("rspamc", path=PATH)), "-h", f"127.0.0.1:{controller}", "-n", "4", f"learn_{kind}", str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
            learnt = done.stdout.count("success = true")
            assert learnt >= 200, f"rspamd learnt {learnt} of {TAUGHT} {kind}: {done.stdout[-300:]} {done.stderr[-300:]}"

    def stored(self) -> int | None:
        return self.postfix.queued()

    def cpu(self) -> float | None:
        return None  # its processes come and go

    def log(self) -> str:
        """What rspamd and Postfix complained of."""
        return (self._directory / "rspamd.out").read_text("utf-8", "replace")[-3000:] + self.postfix.log()[-3000:]

    def stop(self) -> None:
        self._stack.close()
