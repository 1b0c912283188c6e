"""`localllm service`: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from localllm.cli.render_service import render_service
from localllm.cli.service import command
from localllm.errors import NotRunning
from localllm.service.view import ServiceView


def installed(**changes: object) -> ServiceView:
    usual: dict[str, object] = {
        "installed": True,
        "kind": "systemd",
        "file": "/u/localllm.service",
        "enabled": True,
        "state": "active",
        "pid": 7,
        "lingers": False,
    }
    return ServiceView(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        (installed(), ["runs, process 7", "at the login; --linger: at boot"]),
        (installed(lingers=True), ["at boot"]),
        (installed(kind="launchd", lingers=None), ["at the login"]),
        (
            installed(by_socket=True, listens=True, state="inactive", pid=None),
            [
                "does not run",
                "with the first request, for which the system listens from the login on",
            ],
        ),
        (installed(enabled=False), ["not by itself: localllm service install"]),
        (
            installed(state="failed", pid=None, last_exit="exit 2", restarts=1),
            ["has failed", "exit 2; started again 1 time"],
        ),
        (installed(outside=9), ["process 9 is none of the service"]),
        (
            installed(by_socket=True, outdated=("it is old",)),
            ["it is old: localllm service install --socket"],
        ),
        (
            installed(outdated=("its interpreter is gone: /x",)),
            ["its interpreter is gone: /x: localllm"],
        ),
        (installed(problem="systemctl cannot be used."), ["systemctl cannot be used."]),
    ],
)
def test_each_fact_has_a_line_with_what_to_do_about_it(view: ServiceView, lines: list[str]) -> None:
    text = "\n".join(render_service(view))

    assert [line for line in lines if line not in text] == []


def test_none_being_installed_has_an_exit_code_of_its_own_and_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    said, as_json = (
        CliRunner().invoke(command, ["status", *more], standalone_mode=False)
        for more in ([], ["--json"])
    )

    assert said.return_value == as_json.return_value == 1
    assert "localllm service install" in said.stdout
    assert json.loads(as_json.stdout)["installed"] is False


def test_uninstalling_none_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    said = CliRunner().invoke(command, ["uninstall"])

    assert said.exit_code == 0, said.output
    assert "no service is installed" in said.stderr


def test_logs_before_there_are_any_are_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))

    said = CliRunner().invoke(command, ["logs"])

    assert isinstance(said.exception, NotRunning)
