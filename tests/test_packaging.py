"""What is installed: the command, the twistd plugin and every file the program reads, from a checkout and from a wheel alike."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from jetmail import resources
from tests.live.harness import Appliance

ROOT = Path(__file__).resolve().parent.parent
DATA = ("templates", "etc", "web/static")


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a program that must succeed; none of this process's paths reach it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def shipped() -> set[str]:
    """Every file of the checkout that the program reads, as it is called below the package."""
    files = {path.relative_to(ROOT / "jetmail") for folder in ("", *DATA) for path in (ROOT / "jetmail" / folder).rglob("*") if path.is_file()}
    return {f"jetmail/{path}" for path in files if "__pycache__" not in path.parts}


def test_twistd_knows_it_once() -> None:
    """Twisted finds the plugin, and finds it only once."""
    assert [plugin.tapname for plugin in getPlugins(IServiceMaker) if plugin.tapname.startswith("jetmail")] == ["jetmail"]


def test_shipped_files_are_found() -> None:
    """Templates, defaults and static files are where the program looks for them."""
    assert (resources.templates() / "base.html").is_file()
    assert (resources.defaults() / "jetmail.toml").is_file()
    assert (resources.defaults() / "jetmail.service").is_file()
    assert resources.static().is_dir()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist, the wheel made from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.mark.slow
def test_wheel_and_sdist_carry_everything(built: Path) -> None:
    """Each file of the package, templates and defaults among them, is in the wheel and in the sdist; leftovers of this checkout are not."""
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    wanted = shipped() | {"twisted/plugins/jetmail_plugin.py"}
    assert sorted(wanted - in_wheel) == []
    assert sorted(wanted - in_sdist) == []
    assert [name for name in in_wheel | in_sdist if name.endswith((".pyc", "dropin.cache", ".db"))] == []


@pytest.mark.slow
def test_an_installed_wheel_boots_elsewhere(built: Path, tmp_path: Path) -> None:
    """In a fresh environment, far from the checkout, the wheel gives the command and the plugin, and the appliance comes up and stops cleanly."""
    (wheel,) = built.glob("*.whl")
    environment = tmp_path / "environment"
    venv.EnvBuilder(with_pip=True, symlinks=True).create(environment)
    run(environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=tmp_path)
    where = run(environment / "bin" / "python", "-c", "import jetmail; print(jetmail.__file__)", cwd=tmp_path)
    assert where.startswith(str(environment))
    assert "jetmail" in run(environment / "bin" / "twistd", "--help", cwd=tmp_path)
    with Appliance(tmp_path / "appliance", command=(str(environment / "bin" / "jetmail"),)) as appliance:
        appliance.start()
        assert appliance.rows("domain", "list") == []
        appliance.stop()
        assert appliance.process is not None and appliance.process.returncode == 0
