"""Makes the virtual environment the launchers in bin/ run in, once, and brings it up to date when setup.cfg changes.

    python3 bin/environment.py DIRECTORY [EXTRAS]

Prints the path of the environment's python. Promises: two that start at once make one environment (the second waits); an environment without
its stamp, which is written last, is never used but made anew; quiet when there is nothing to do; progress goes to standard error.
Exits 1 with a reason when it cannot. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "jetmail-stamp"
HEARTBEAT = 10.0  # seconds of silence after which a person wonders


def main(arguments: list[str]) -> int:
    """Make sure the environment is there and print its python."""
    target = Path(arguments[0]) if Path(arguments[0]).is_absolute() else ROOT / arguments[0]
    extras = arguments[1] if len(arguments) > 1 else ""
    python = target / "bin" / "python"
    wanted = fingerprint(extras)
    if not is_current(target, wanted):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target.with_name(target.name + ".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not is_current(target, wanted):
                    make(target, extras, wanted)
        except OSError as error:
            return fail(f"{target}: cannot make the environment: {error.strerror or error}", "JETMAIL_VENV=/another/place names a folder for it.")
        except subprocess.CalledProcessError as error:
            tail = "\n".join((error.output or "").strip().splitlines()[-12:])
            return fail(f"{target}: pip could not install what jetmail needs (exit code {error.returncode})", tail)
    print(python)
    return 0


def fingerprint(extras: str) -> str:
    """Changes when the environment must be made or filled again: the requirements, this checkout's place, the Python."""
    digest = hashlib.sha256()
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return f"{digest.hexdigest()} {ROOT} {extras} {sys.version_info[0]}.{sys.version_info[1]}\n"


def is_current(target: Path, wanted: str) -> bool:
    """True when the environment was finished for exactly these requirements and its python still runs."""
    try:
        return (target / STAMP).read_text() == wanted and os.access(target / "bin" / "python", os.X_OK)
    except OSError:
        return False


def make(target: Path, extras: str, wanted: str) -> None:
    """Create or refill; on any failure what was half made goes away."""
    stamp = target / STAMP
    try:
        finished = stamp.read_text()
    except OSError:
        finished = ""
    same_place = finished.split(" ", 1)[1:] == wanted.split(" ", 1)[1:] and os.access(target / "bin" / "python", os.X_OK)
    shown = os.path.relpath(target) if target.is_relative_to(Path.cwd()) else str(target)
    say(f"{'updating' if same_place else 'making'} its environment in {shown} (once; this can take a minute)")
    stamp.unlink(missing_ok=True)
    try:
        if not same_place:
            shutil.rmtree(target, ignore_errors=True)
            venv.EnvBuilder(with_pip=True, symlinks=True).create(target)
        install(target, extras)
        stamp.write_text(wanted)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    say("environment ready")


def install(target: Path, extras: str) -> None:
    """pip install -e, saying now and then what it is at."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "PIP_USER")}
    if not os.access(os.path.expanduser("~") or "/nonexistent", os.W_OK):
        environment["PIP_NO_CACHE_DIR"] = "1"
    command = [str(target / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--editable", f"{ROOT}[{extras}]" if extras else str(ROOT)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment, cwd=ROOT)
    lines: list[str] = []
    done = threading.Event()

    def heartbeat() -> None:
        while not done.wait(HEARTBEAT):
            say(lines[-1].strip()[:120] if lines else "waiting for pip")

    threading.Thread(target=heartbeat, daemon=True).start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)  # one by one: the heartbeat reads the last
    finally:
        done.set()
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.kill()
        code = process.wait()
    if code:
        raise subprocess.CalledProcessError(code, command, output="".join(lines))


def say(text: str) -> None:
    """A line of progress, where it cannot be taken for output."""
    print(f"jetmail: {text}", file=sys.stderr, flush=True)


def fail(reason: str, advice: str) -> int:
    """Exit code 1 with what happened and what to do."""
    say(reason)
    if advice:
        print("\n".join("  " + line for line in advice.splitlines()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted; the unfinished environment was removed")
        sys.exit(130)
