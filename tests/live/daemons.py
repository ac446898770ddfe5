"""Real programs beside jetmail, each with a configuration, a directory and a port of its own: clamd, rspamd, slapd. Skipped loudly when missing."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.harness import free_port, wait_until
from tests.live.needs import program

# Not in one piece, so that no scanner of this machine takes this file away.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR" + "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@contextmanager
def started(words: list[str], log: Path, ready: object, what: str, seconds: float = 40) -> Iterator[None]:
    """A process, ended at the end; `ready()` is asked until it is true, and the log is told when it never is."""
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        try:
            wait_until(lambda: process.poll() is not None or ready(), seconds, what)  # type: ignore[operator]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text('utf-8', 'replace')[-3000:]}") from error
        assert process.poll() is None, f"{what}: ended with {process.returncode}\n{log.read_text('utf-8', 'replace')[-3000:]}"
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # helpers that outlive their parent


def answers(port: int) -> bool:
    """Somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def clamd(directory: Path, max_length: str = "25M") -> Iterator[tuple[Path, int]]:
    """A clamd that knows one signature, EICAR's. -> its UNIX socket and its TCP port."""
    path = program("clamd", "clamav-daemon")
    database = directory / "database"
    database.mkdir(parents=True)
    (database / "test.ndb").write_text(f"Test.Eicar:0:*:{EICAR.encode().hex()}\n")
    port, unix = free_port(), directory / "clamd.sock"
    (directory / "clamd.conf").write_text(
        f"LocalSocket {unix}\nTCPSocket {port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {database}\nForeground yes\nStreamMaxLength {max_length}\n"
    )
    with started([path, "-c", str(directory / "clamd.conf")], directory / "clamd.log", lambda: unix.exists() and answers(port), "clamd listens"):
        yield unix, port


@contextmanager
def rspamd(directory: Path) -> Iterator[int]:
    """An rspamd with its own rules, no network and no Redis. -> the port of its normal worker."""
    path = program("rspamd", "rspamd")
    local = directory / "local.d"
    local.mkdir(parents=True)
    port = free_port()
    (local / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{port}";\ncount = 1;\n')
    for worker in ("worker-controller", "worker-proxy", "worker-fuzzy"):
        (local / f"{worker}.inc").write_text("enabled = false;\n")
    (local / "options.inc").write_text('dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }\n')
    (local / "logging.inc").write_text('type = "console";\nlevel = "warning";\n')
    for module in ("rbl", "asn", "phishing", "fuzzy_check", "history_redis", "greylist", "ratelimit", "neural", "replies"):
        (local / f"{module}.conf").write_text("enabled = false;\n")
    for folder in ("run", "db", "log"):
        (directory / folder).mkdir()
    words = [path, "-f", "-i", "-c", "/etc/rspamd/rspamd.conf", f"--var=LOCAL_CONFDIR={directory}"]
    words += [f"--var=DBDIR={directory / 'db'}", f"--var=RUNDIR={directory / 'run'}", f"--var=LOGDIR={directory / 'log'}"]
    if os.geteuid() == 0:
        owner = pwd.getpwnam("_rspamd")
        for place in (directory, *directory.rglob("*")):
            os.chown(place, owner.pw_uid, owner.pw_gid)
        words += ["-u", "_rspamd", "-g", "_rspamd"]
    with started(words, directory / "rspamd.out", lambda: answers(port), "rspamd listens"):
        yield port


ENTRIES = """\
dn: dc=demo,dc=test
objectClass: dcObject
objectClass: organization
dc: demo
o: Demo

dn: ou=people,dc=demo,dc=test
objectClass: organizationalUnit
ou: people

dn: uid=ann,ou=people,dc=demo,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Example
mail: ann@live.test
mail: Anna.Example@live.test

dn: cn=reader,dc=demo,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reader-secret
"""


@contextmanager
def slapd(directory: Path, certificate: Path, key: Path, authority: Path, ports: tuple[int, int] | None = None) -> Iterator[tuple[int, int]]:
    """An slapd with one person in it, who is shown to cn=reader (password reader-secret) alone. -> its ports for ldap:// and ldaps://."""
    path, adding = program("slapd"), program("slapadd", "slapd")
    (directory / "data").mkdir(parents=True, exist_ok=True)
    config = directory / "slapd.conf"
    schemas = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    config.write_text(
        f"{schemas}pidfile {directory}/slapd.pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\nTLSCACertificateFile {authority}\n"
        f'database mdb\nsuffix "dc=demo,dc=test"\nrootdn "cn=admin,dc=demo,dc=test"\ndirectory {directory}/data\n'
        'access to attrs=userPassword by anonymous auth by * none\naccess to * by dn="cn=reader,dc=demo,dc=test" read by * none\n'
    )
    if not any((directory / "data").iterdir()):
        subprocess.run([adding, "-f", str(config)], input=ENTRIES, text=True, check=True, capture_output=True)
    plain, secure = ports or (free_port(), free_port())
    words = [path, "-d", "0", "-f", str(config), "-h", f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{secure}"]
    with started(words, directory / "slapd.log", lambda: answers(plain) and answers(secure), "slapd listens"):
        yield plain, secure


def reachable(directory: Path) -> Path:
    """A directory that a daemon with another user may enter (pytest's own are for its owner alone)."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    return directory
