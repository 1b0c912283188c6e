"""What a stranger installs, and what the two scripts do on machines that are not ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.fakes.installation import ROOT

SCRIPTS = ("scripts/up", "scripts/test", "scripts/environment.sh")
OLD_PYTHON = """\
#!/bin/sh
# A system's Python of yesterday: it says no to whatever asks for 3.11, and can install.
case "$*" in
*"-m pip install"*) shift 5; mkdir -p "$1/bin"; cp "$FAKE_UV" "$1/bin/uv" ;;
*) exit 1 ;;
esac
"""
FAKE_UV = """\
#!/bin/sh
echo "$*" >>"$UV_LOG"
for last in "$@"; do :; done
mkdir -p "$last/bin"
printf '#!/bin/sh\\necho "$*" >>"$UV_LOG"\\n' >"$last/bin/python"
printf '#!/bin/sh\\necho "served: $*"\\n' >"$last/bin/localllm"
chmod +x "$last/bin/python" "$last/bin/localllm"
"""


@pytest.mark.timeout(300)
def test_the_wheel_carries_the_profiles_and_probes_in_an_empty_environment(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    inside = zipfile.ZipFile(wheel).namelist()
    assert "localllm/_profiles/models/smollm2-135m-instruct.toml" in inside
    assert "localllm/_profiles/hardware/nvidia.toml" in inside
    assert "localllm/web/page/index.html" in inside
    assert not [name for name in inside if name.startswith(("tests/", "scripts/"))]

    venv.create(tmp_path / "empty", with_pip=True)
    binaries = tmp_path / "empty" / "bin"
    subprocess.run([binaries / "pip", "install", "-q", wheel], check=True, capture_output=True)
    environment = {"PATH": "/usr/bin:/bin", "LOCALLLM_HOME": str(tmp_path / "home")}
    probed = subprocess.run(
        [binaries / "localllm", "probe", "--json"],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    machine = json.loads(probed.stdout)
    assert machine["devices"][-1]["id"] == "cpu"
    assert machine["host"]["memory_total"] > 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_are_posix_shell(script: str) -> None:
    shell = shutil.which("dash") or "/bin/sh"

    checked = subprocess.run(
        [shell, "-n", ROOT / script], capture_output=True, text=True, check=False
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def a_checkout(folder: Path) -> Path:
    """A copy with the scripts alone, in a folder whose name has a blank."""
    root = folder / "my checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("scripts/up", "scripts/environment.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def a_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def up(root: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / "scripts" / "up", "--context", "2048"],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def without_python(folder: Path) -> str:
    """A PATH that has the system's tools and no Python, no uv."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "uname", "cksum", "cat", "mkdir", "cp", "chmod"):
        (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return str(tools)


def test_an_old_python_is_helped_by_uv(tmp_path: Path) -> None:
    root, log = a_checkout(tmp_path), tmp_path / "log"
    tools = without_python(tmp_path)
    a_program(Path(tools) / "python3", OLD_PYTHON)
    uv = a_program(tmp_path / "uv", FAKE_UV)

    ran = up(root, tools, FAKE_UV=str(uv), UV_LOG=str(log))

    assert ran.returncode == 0, ran
    assert ran.stdout == "served: up --context 2048\n"
    asked = log.read_text().splitlines()
    assert asked[0].startswith("venv ")
    assert ">=3.11" in asked[0]
    assert any("pip install" in line and "--editable" in line for line in asked[1:])


def test_without_any_python_it_says_what_to_install(tmp_path: Path) -> None:
    ran = up(a_checkout(tmp_path), without_python(tmp_path))

    assert ran.returncode == 1
    assert "localllm needs Python 3.11 to 3.14" in ran.stderr
    assert "uv" in ran.stderr


def test_windows_is_sent_to_wsl(tmp_path: Path) -> None:
    root = a_checkout(tmp_path)
    tools = without_python(tmp_path)
    (Path(tools) / "uname").unlink()
    a_program(Path(tools) / "uname", "#!/bin/sh\necho MINGW64_NT-10.0\n")

    ran = up(root, tools)

    assert ran.returncode == 1
    assert "WSL2" in ran.stderr


def test_a_second_run_installs_nothing(tmp_path: Path) -> None:
    root, log = a_checkout(tmp_path), tmp_path / "log"
    tools = without_python(tmp_path)
    a_program(Path(tools) / "uv", FAKE_UV)
    up(root, tools, UV_LOG=str(log))
    before = log.read_text()

    again = up(root, tools, UV_LOG=str(log))

    assert again.stdout == "served: up --context 2048\n"
    asked = log.read_text().removeprefix(before).splitlines()
    assert asked == ["-c import pip"], "it looks, and that is all"
    assert (root / ".venv").exists()
