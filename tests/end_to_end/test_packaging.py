"""What a stranger installs, and what the two scripts do on machines that are not ours."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest

from localllm import __version__
from tests.fakes.installation import ROOT, free_port
from tests.fakes.wheels import another_tree, build_release, build_wheel, installer
from tests.smollm2 import smollm2

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


PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("aarch64-apple-darwin", "x86_64-manylinux_2_35")
"""MLX has no wheels for an older macOS than 14, nor for an older glibc than 2.35."""

NEWER = "9.0.0"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What a release consists of: the sources and the wheel."""
    return build_release(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(release: tuple[Path, Path]) -> Path:
    return release[1]


@pytest.mark.timeout(300)
def test_the_wheel_carries_the_profiles_and_probes_in_an_empty_environment(
    wheel: Path, tmp_path: Path
) -> None:
    inside = zipfile.ZipFile(wheel).namelist()
    shipped = [path for path in (ROOT / "profiles").rglob("*") if path.is_file()]
    assert {f"localllm/_profiles/{path.relative_to(ROOT / 'profiles')}" for path in shipped} <= {
        *inside
    }
    assert "localllm/web/page/index.html" in inside
    assert "localllm/_changelog.md" in inside
    assert not [name for name in inside if not name.startswith(("localllm/", "localllm-"))]

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
    checked = subprocess.run(
        [binaries / "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_the_sources_have_what_the_wheel_is_built_of_and_no_more(
    release: tuple[Path, Path],
) -> None:
    with tarfile.open(release[0]) as sources:
        names = {name.partition("/")[2] for name in sources.getnames()}

    assert names >= {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO"}
    assert {name.partition("/")[0] for name in names} <= {
        *("localllm", "profiles", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"),
        *("PKG-INFO", ".gitignore", ""),
    }


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        name = next(one for one in packed.namelist() if one.endswith("/METADATA"))
        about = email.message_from_bytes(packed.read(name))

    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Keywords"]
    assert {"mlx", "llama-cpp-python", "web", "otel"} <= {*about.get_all("Provides-Extra", [])}
    spoken = {f"Programming Language :: Python :: {version}" for version in PYTHONS}
    assert spoken <= {*about.get_all("Classifier", [])}


class Tool:
    """localllm as uv or pipx install it, in folders of a test's own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.programs = name, folder / "bin"
        self.installer = installer(name)
        self.environment = {
            "HOME": os.environ["HOME"],  # with the installers' caches
            "PATH": f"{Path(installer('uv')).parent}:{Path(self.installer).parent}:/usr/bin:/bin",
            "UV_TOOL_DIR": str(folder / "tools"),
            "UV_TOOL_BIN_DIR": str(self.programs),
            "PIPX_HOME": str(folder / "pipx"),
            "PIPX_BIN_DIR": str(self.programs),
            "PIPX_MAN_DIR": str(folder / "man"),
            "PIPX_DEFAULT_PYTHON": sys.executable,
            "UV_PYTHON": sys.executable,
            "LOCALLLM_HOME": str(folder / "home"),
            "LOCALLLM_PORT": str(free_port()),
            "HF_HUB_OFFLINE": "1",
            **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_"))},
        }

    def install(self, wheel: Path) -> None:
        words = ("tool", "install") if self.name == "uv" else ("install",)
        done = self._run(self.installer, *words, f"{wheel}[web]")
        assert done.returncode == 0, done.stderr

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run(str(self.programs / "localllm"), *words)

    def ok(self, *words: str) -> str:
        ran = self.run(*words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self.environment, cwd="/", capture_output=True, text=True, check=False
        )


@pytest.fixture(params=["uv", "pipx"])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Tool:
    return Tool(request.param, tmp_path)


@pytest.mark.timeout(300)
def test_a_tool_installer_installs_it_it_runs_anywhere_and_upgrades_itself(
    tool: Tool, wheel: Path, tmp_path: Path
) -> None:
    build_wheel(make(tmp_path / "newer"), another_tree(tmp_path / "tree", NEWER))

    tool.install(wheel)

    assert __version__ in tool.ok("--version")
    plan = json.loads(tool.ok("plan", str(smollm2()), "--context", "512", "--offline", "--json"))
    assert plan["choice"] is not None
    assert json.loads(tool.run("doctor", "--json").stdout)

    told = json.loads(tool.ok("upgrade", "--from", str(tmp_path / "newer"), "--yes", "--json"))
    assert told["method"] == ("uv tool" if tool.name == "uv" else "pipx")
    assert NEWER in tool.ok("--version")
    assert json.loads(tool.ok("upgrade", "--to", __version__, "--check", "--json"))["is_needed"]


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("packaging")
def test_what_uv_installs_serves(wheel: Path, tmp_path: Path) -> None:
    uv = Tool("uv", tmp_path)
    uv.environment["LOCALLLM_HOME"] = home = tempfile.mkdtemp(prefix="lll-")
    uv.install(wheel)
    try:
        uv.ok("up", str(smollm2()), "--context", "512")

        assert json.loads(uv.ok("status", "--json"))["models"][0]["state"] == "ready"
    finally:
        uv.run("down")
        shutil.rmtree(home, ignore_errors=True)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.timeout(120)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_extras_resolve_to_wheels_that_there_are(
    python: str, platform: str, wheel: Path
) -> None:
    resolved = resolve(wheel, "mlx,web,otel", python, platform)

    assert "mlx-lm==" in resolved
    assert "textual-serve==" in resolved
    assert "opentelemetry-sdk==" in resolved
    assert ("mlx-metal==" in resolved) == ("apple" in platform)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_llama_cpp_python_resolves_and_is_compiled(platform: str, wheel: Path) -> None:
    sources = ("--no-binary", "llama-cpp-python")

    assert "llama-cpp-python==" in resolve(wheel, "llama-cpp-python", "3.12", platform, *sources)


def resolve(wheel: Path, extras: str, python: str, platform: str, *more: str) -> str:
    """Have uv find versions that go together, each with a wheel for another machine.

    Pip's own `download --platform` judges `sys_platform == 'darwin'` by the machine that it runs on.
    """
    done = subprocess.run(
        [
            *(installer("uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            *("--python-version", python, "--python-platform", platform),
            *("--only-binary", ":all:", *more, "-"),
        ],
        input=f"localllm[{extras}] @ {wheel.as_uri()}\n",
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        cwd=wheel.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
