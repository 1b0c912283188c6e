"""Tab in real shells: verbs, options, and names, colons in them too; typed into a terminal."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.a_terminal import Window, terminals
from tests.fakes.installation import ROOT
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("completion")]
STARTED = {
    "bash": "bash --norc --noprofile -i",
    "zsh": "zsh -f -i",
    "fish": "fish --private --no-config",
}
READY = {
    "bash": "PS1='ready> '; source {file}",
    "zsh": (
        "PS1='ready> '; fpath=({file.parent} $fpath); autoload -Uz compinit; compinit -u -D; "
        "setopt NO_LIST_BEEP"
    ),
    "fish": "function fish_prompt; printf 'ready> '; end; source {file}",
}
TYPED = [
    ("uninst", "uninstall "),
    ("plan --expl", "plan --explain "),
    ("plan --for rtx5070t", "plan --for rtx5070ti "),
    ("verify me/Tiny-GGUF:Q", "verify me/Tiny-GGUF:Q4_1 "),
    ("connect claude-c", "connect claude-code "),
    ("up --engine mlx", "up --engine mlx "),
    ("up --profile nig", "up --profile nightly "),
    ("engine rollb", "engine rollback "),
]


def require(shell: str) -> str:
    program = shutil.which(shell)
    assert program is not None, f"{shell} is not installed; apt-get install {shell}"
    return program


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home with a model, a profile of the user's own, and `localllm` on PATH."""
    home = tmp_path_factory.mktemp("home")
    programs = home / "bin"
    programs.mkdir()
    program = programs / "localllm"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m localllm "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    snapshot = home / "hub" / "models--me--Tiny-GGUF" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "Tiny-Q4_1.gguf").symlink_to(smollm2())
    (home / "config").mkdir()
    (home / "config" / "config.toml").write_text('[profiles.nightly]\nmodel = "qwen3-8b"\n')
    return {
        "HOME": str(home),
        "LOCALLLM_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "SHELL": "/bin/sh",
    }


def install(shell: str, environment: dict[str, str]) -> Path:
    command = ["localllm", "completion", shell, "--install"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stderr.splitlines()[0].removeprefix("written: "))


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Window]:
    """One that has been started, has read what was installed, and waits for words."""
    name: str = request.param
    require(name)
    file = install(name, environment)
    with terminals(environment) as several:
        window = several.open()
        window.run(f"exec {STARTED[name]}")
        window.run(READY[name].format(file=file))
        window.run("clear")
        window.wait_until(lambda text: text.strip() == "ready>", "a prompt")
        yield window


@pytest.mark.parametrize(("typed", "completed"), TYPED, ids=[typed for typed, _ in TYPED])
def test_tab_completes(shell: Window, typed: str, completed: str) -> None:
    shell.press("C-c")
    shell.press("C-l")
    shell.wait_until(lambda text: text.strip() == "ready>", "a prompt")
    shell.type(f"localllm {typed}")
    shell.press("Tab")

    shell.wait_until(lambda text: f"ready> localllm {completed.rstrip()}" in text, completed, 10)
    shell.type("end")
    shell.wait_for(f"localllm {completed}end")


@pytest.mark.parametrize(
    "how", ["source <(localllm completion zsh)", 'eval "$(localllm completion zsh)"']
)
def test_zsh_may_read_it_at_once(environment: dict[str, str], how: str) -> None:
    script = f"autoload -Uz compinit; compinit -u -D; {how}; print $_comps[localllm]"

    said = subprocess.check_output([require("zsh"), "-f", "-c", script], env=environment, text=True)

    assert said == "_localllm_completion\n"


def test_a_file_of_somebody_elses_is_not_written_over(environment: dict[str, str]) -> None:
    file = install("fish", environment)
    again = install("fish", environment)
    assert file == again, "ours is"
    file.write_text("# mine\n")

    command = ["localllm", "completion", "fish", "--install"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert file.read_text() == "# mine\n"
