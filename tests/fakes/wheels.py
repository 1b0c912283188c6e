"""Wheels of this tree, real ones, of any version; and environments that have one of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.fakes.installation import ROOT, Installation

_OF_A_BUILD = ("localllm", "profiles", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")


def build_wheel(into: Path, source: Path = ROOT) -> Path:
    """Build it alone."""
    return _build(into, source, "--wheel")


def build_release(into: Path) -> tuple[Path, Path]:
    """Build as for a release: the sources, and the wheel out of these."""
    wheel = _build(into, ROOT)
    return next(into.glob("*.tar.gz")), wheel


def _build(into: Path, source: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "build", *options, "--outdir", str(into), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(into.glob("*.whl"))


def installer(name: str) -> str:
    """Find uv or pipx, which come with the tests.

    Raises:
        AssertionError: It is not installed.
    """
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}:{os.environ['PATH']}")
    assert found is not None, f"scripts/test installs {name}"
    return found


def another_tree(into: Path, version: str) -> Path:
    """Copy what a build takes, of another version."""
    into.mkdir(parents=True)
    for name in _OF_A_BUILD:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, into / name)
    about = into / "localllm" / "__init__.py"
    text, count = re.subn(r'"\d[^"]*"', f'"{version}"', about.read_text())
    assert count == 1, text
    about.write_text(text)
    changes = into / "CHANGELOG.md"
    changes.write_text(
        changes.read_text().replace("\n## ", f"\n## {version}\n\nAll new.\n\n## ", 1)
    )
    return into


def an_environment(folder: Path) -> Path:
    """An environment without localllm, that has all that it needs: linked, not downloaded.

    Returns:
        Its folder of programs.
    """
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python3*/site-packages"))
    (site / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def install_into(programs: Path, wheel: Path) -> None:
    """Have pip install a wheel; what it needs is there."""
    command = [programs / "python", "-m", "pip", "install", "-q", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class InstalledProgram(Installation):
    """One that runs from an environment of its own, in no folder of ours."""

    def __init__(self, home: Path, programs: Path, **environment: str) -> None:
        super().__init__(home, **environment)
        self.command = [str(programs / "localllm")]
        del self.environment["PYTHONPATH"]
        self.environment["PIP_NO_INDEX"] = "1"
