"""An installer that fails: what is said of it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from localllm.installation.commands import Source
from localllm.installation.method import Installed, Method
from localllm.installation.planning import Upgrade, install_again
from localllm.installation.running import InstallerFailed, run_installer


def an_installer(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_words_that_are_to_be_tried_are_words_for_a_shell(tmp_path: Path) -> None:
    an_installer(tmp_path, "uv", "echo error: broken >&2; exit 1")
    words = ("uv", "pip", "install", "localllm[mlx] @ file:///a%20b.whl", "/home/my self")

    with pytest.raises(InstallerFailed) as failed:
        run_installer(words, {"PATH": f"{tmp_path}:/bin"}, "Not installed.")

    assert shlex.split(failed.value.fix.partition(": ")[2]) == [*words]


@pytest.mark.parametrize(("method", "first"), [(Method.UV_TOOL, "tool"), (Method.UV_PIP, "pip")])
def test_the_old_version_comes_back_though_its_installer_reaches_no_index(
    tmp_path: Path, method: Method, first: str
) -> None:
    an_installer(tmp_path, "uv", 'echo "$1" "$@" >> "$LOG"; [ "$1" = pip ]')
    log = tmp_path / "log"
    upgrade = Upgrade(Installed(method, "1.0", "python", tmp_path), "2.0", Source(), (), (), (), "")
    environment = {"PATH": f"{tmp_path}:/bin", "LOG": str(log)}

    install_again(upgrade, [tmp_path / "a.whl", tmp_path / "b.whl"], environment)

    lines = log.read_text().splitlines()
    assert lines[0].split()[0] == first
    assert lines[-1].endswith(f"--force-reinstall {tmp_path / 'a.whl'} {tmp_path / 'b.whl'}")
