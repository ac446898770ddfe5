"""bin/: finding a Python, saying what is missing, and the environment that is never half made."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("sh", "dirname", "readlink", "env")


def environment_module() -> ModuleType:
    """bin/environment.py as a module."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "bin" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launch(folder: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """bin/environment on a machine that has only these Pythons (name -> shell script)."""
    programs = folder / "bin"
    programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (programs / tool).symlink_to(found)
    for name, script in pythons.items():
        (programs / name).write_text("#!/bin/sh\n" + script)
        (programs / name).chmod(0o755)
    command = [str(ROOT / "bin" / "environment"), str(folder / "made")]
    return subprocess.run(command, env={"PATH": str(programs)}, capture_output=True, text=True, check=False, timeout=60)


OLD = "echo 3.9"
WITHOUT_VENV = 'case "$3" in *ensurepip*) exit 1 ;; *) echo 3.12 ;; esac'


def test_no_python(tmp_path: Path) -> None:
    """Without any Python it says what is needed and how to get it, and fails."""
    done = launch(tmp_path, {})
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr and "apt install python3" in done.stderr
    assert done.stdout == ""


def test_python_too_old(tmp_path: Path) -> None:
    """A Python that is too old is named with its version."""
    done = launch(tmp_path, {"python3": OLD})
    assert done.returncode == 1
    assert "python3 is 3.9" in done.stderr


def test_python_without_venv(tmp_path: Path) -> None:
    """A Python that cannot make environments: the package to install is named."""
    done = launch(tmp_path, {"python3": WITHOUT_VENV})
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr and "python3.12-venv" in done.stderr


def test_the_newer_name_is_found(tmp_path: Path) -> None:
    """When python3 is too old, python3.12 beside it is taken; a broken one is passed over."""
    done = launch(tmp_path, {"python3": OLD, "python3.13": "exit 127", "python3.12": 'case "$2" in -c) echo 3.12 ;; *) echo "ran $3" ;; esac'})
    assert done.returncode == 0
    assert done.stdout.strip() == f"ran {tmp_path / 'made'}"


def test_failed_installation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """When pip fails, the half environment goes away, its last words are shown, and the exit code is 1."""
    module = environment_module()

    def broken(target: Path, extras: str) -> None:
        raise subprocess.CalledProcessError(2, "pip", output="ERROR: no matching distribution\n")

    monkeypatch.setattr(module, "install", broken)
    assert module.main([str(tmp_path / "made")]) == 1
    assert not (tmp_path / "made").exists()
    assert "no matching distribution" in capsys.readouterr().err


def test_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The second start finds the environment ready, says nothing and installs nothing; one without its stamp is made anew."""
    module = environment_module()
    installs: list[Path] = []
    monkeypatch.setattr(module, "install", lambda target, extras: installs.append(target))
    monkeypatch.setattr(module.venv, "EnvBuilder", FakeBuilder)
    target = tmp_path / "made"
    assert module.main([str(target)]) == 0
    capsys.readouterr()
    assert module.main([str(target)]) == 0
    assert len(installs) == 1
    captured = capsys.readouterr()
    assert (captured.out.strip(), captured.err) == (str(target / "bin" / "python"), "")
    (target / module.STAMP).unlink()
    assert module.main([str(target)]) == 0
    assert len(installs) == 2


class FakeBuilder:
    """Makes the one file that is looked for."""

    def __init__(self, **options: object) -> None:
        self.options = options

    def create(self, target: Path) -> None:
        """A python that is this one."""
        (target / "bin").mkdir(parents=True)
        (target / "bin" / "python").symlink_to(sys.executable)


@pytest.mark.parametrize("script", ["jetmail", "test", "bench", "environment"])
def test_scripts_can_be_run(script: str) -> None:
    """Every launcher is executable and has no syntax error."""
    path = ROOT / "bin" / script
    assert os.access(path, os.X_OK)
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0


def test_the_current_folder_is_not_trusted(tmp_path: Path) -> None:
    """What lies where somebody stands is never imported: neither a module of Python's name nor another jetmail."""
    programs, here = tmp_path / "bin", tmp_path / "here"
    programs.mkdir()
    (here / "jetmail").mkdir(parents=True)
    for trap in (here / "jetmail" / "__init__.py", here / "sqlite3.py", here / "venv.py"):
        trap.write_text("raise SystemExit('trapped')")
    shutil.copy(ROOT / "bin" / "jetmail", programs)
    (programs / "environment").write_text(f"#!/bin/sh\necho {sys.executable}\n")
    (programs / "environment").chmod(0o755)
    done = subprocess.run([str(programs / "jetmail"), "--version"], cwd=here, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("jetmail ")
    found = subprocess.run(
        [str(ROOT / "bin" / "environment"), str(here / "venv.py" / "made")],
        cwd=here,
        env={"PATH": os.environ["PATH"], "JETMAIL_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "cannot make the environment" in found.stderr  # so it came as far as trying to
