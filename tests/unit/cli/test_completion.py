"""Which options are completed, and what that loads."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from localllm.cli.completing import ENGINES, Completer, bench_runs, settings, settings_said
from localllm.cli.completion_files import MARK, is_ours, marked, place_of
from localllm.cli.main import _VERBS, cli
from localllm.config.settings import Settings
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.engine_desk import EngineDesk

NAMES = {
    *("model", "agent", "engine", "quant", "profile", "build", "hardware"),
    *("key", "compare", "against"),
}
"""Of parameters whose values have names that can be known."""


def _parameters(name: str, command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from _parameters(f"{name} {each}", found)
    else:
        yield from ((name, parameter) for parameter in command.params)


def _verbs() -> list[str]:
    return [verb for verb in _VERBS if importlib.util.find_spec(f"localllm.cli.{verb}")]


@pytest.mark.parametrize("verb", _verbs())
def test_whatever_has_a_known_name_is_completed(verb: str) -> None:
    command = importlib.import_module(f"localllm.cli.{verb}").command

    lacking = [
        f"{name} {parameter.opts[0]}"
        for name, parameter in _parameters(verb, command)
        if parameter.name in NAMES
        and parameter._custom_shell_complete is None
        and not isinstance(parameter.type, click.Choice)
    ]

    assert lacking == []


def test_all_engines_are_completed(tmp_path: Path) -> None:
    paths = paths_for({"LOCALLLM_HOME": str(tmp_path)})
    desk = EngineDesk(Settings(), paths, {}, bundled_profiles())

    assert {engine.name for engine in desk.engines({})} == set(ENGINES)


def test_completing_a_verb_loads_none(tmp_path: Path) -> None:
    code = (
        "import sys, atexit; sys.argv = ['localllm']; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        "from localllm.cli.entry import main; main()"
    )
    environment = {
        **os.environ,
        "_LOCALLLM_COMPLETE": "bash_complete",
        "COMP_WORDS": "localllm up",
        "LOCALLLM_HOME": str(tmp_path),
    }

    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == ["plain,up", "plain,upgrade"]
    loaded = set(ran.stderr.split())
    assert not loaded & {"localllm.cli.up", "localllm.cli.plan", "msgspec", "psutil", "asyncio"}


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("localllm ", "plain,status"),
        ("localllm plan --ex", "plain,--explain"),
        ("localllm plan --for rtx509", "plain,rtx5090"),
        ("localllm plan --quant Q4_K_", "plain,Q4_K_M"),
        ('localllm plan "qwen3-8', "plain,qwen3-8b"),
        ("localllm launch claude-c", "plain,claude-code"),
        ("localllm engine install vulk", None),
    ],
)
def test_a_line_is_split_as_a_shell_does(
    line: str, proposed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("localllm.cli.completion_shells")
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    environment = {"_LOCALLLM_COMPLETE": "bash_complete", "COMP_WORDS": line}

    said = CliRunner().invoke(cli, prog_name="localllm", env=environment).stdout.splitlines()

    assert proposed is None or proposed in said


def test_a_file_is_ours_if_it_says_so_and_is_no_link(tmp_path: Path) -> None:
    ours, theirs, link = (tmp_path / name for name in ("ours", "theirs", "link"))
    ours.write_text(marked("complete\n"))
    theirs.write_text("# mine\n")
    link.symlink_to(ours)

    assert [is_ours(file) for file in (ours, theirs, link, tmp_path, tmp_path / "no")] == [
        *(True, False, False, False, False)
    ]
    assert marked("#compdef localllm\nrest").splitlines() == ["#compdef localllm", MARK, "rest"]


def test_each_shell_has_its_place() -> None:
    environment = {"HOME": "/h", "XDG_DATA_HOME": "/d"}

    assert [str(place_of(shell, environment)) for shell in ("bash", "zsh", "fish")] == [
        "/d/bash-completion/completions/localllm",
        "/d/zsh/site-functions/_localllm",
        "/h/.config/fish/completions/localllm.fish",
    ]


@pytest.mark.parametrize(
    ("complete", "begun", "expected"),
    [
        (settings, "supervision.drain", ["supervision.drain_timeout_s"]),
        (settings, "profiles.nightly.conte", ["profiles.nightly.context"]),
        (settings_said, "", ["port", "profiles", "profiles.nightly", "profiles.nightly.model"]),
        (bench_runs, "", ["20261130T000000.000-m", "last", "none"]),
    ],
)
def test_settings_and_saved_runs_are_completed_by_what_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    complete: Completer,
    begun: str,
    expected: list[str],
) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(
        'port = 4711\n[profiles.nightly]\nmodel = "qwen3-8b"\n'
    )
    (tmp_path / "state" / "benches").mkdir(parents=True)
    (tmp_path / "state" / "benches" / "20261130T000000.000-m.json").write_text("{}")
    context, parameter = click.Context(cli), click.Argument(["key"])

    assert complete(context, parameter, begun) == expected


def test_a_file_that_cannot_be_read_completes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_bytes(b"port = = \xff")

    assert settings_said(click.Context(cli), click.Argument(["key"]), "") == []
