"""What of this machine goes into a service."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localllm.errors import ConfigError
from localllm.paths import paths_for
from localllm.service.facts import device_command, filters_slow_down, read_facts


def test_the_service_is_of_this_interpreter_and_this_environment(tmp_path: Path) -> None:
    environment = {"LOCALLLM_HOME": str(tmp_path), "LOCALLLM_PORT": "4711", "HF_TOKEN": "hf_x"}

    facts = read_facts(paths_for(environment), environment, by_socket=True)

    assert facts.wanted.python == sys.executable
    assert facts.wanted.environment == {"LOCALLLM_HOME": str(tmp_path), "LOCALLLM_PORT": "4711"}
    assert "127.0.0.1:4711" in facts.wanted.sockets
    assert [one.name for one in facts.left_out] == ["HF_TOKEN"]


def test_a_folder_that_was_named_from_where_the_shell_is_is_that_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"LOCALLLM_HOME": "llm"}

    wanted = read_facts(paths_for(environment), environment, by_socket=False).wanted

    assert wanted.environment == {"LOCALLLM_HOME": str(tmp_path / "llm")}
    assert wanted.log == str(paths_for(wanted.environment).daemon_log)


def test_wrong_settings_make_no_service(tmp_path: Path) -> None:
    environment = {"LOCALLLM_HOME": str(tmp_path), "LOCALLLM_PORT": "none"}

    with pytest.raises(ConfigError):
        read_facts(paths_for(environment), environment, by_socket=False)


@pytest.mark.parametrize(
    ("cards", "words"), [(0, ("-u", "-c=0")), (1, ("-u", "-c=0")), (2, ("-u", "-c=0", "-c=1"))]
)
def test_nvidia_s_devices_are_made_where_its_program_is(
    tmp_path: Path, cards: int, words: tuple[str, ...]
) -> None:
    program = tmp_path / "nvidia-modprobe"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for number in range(cards):
        (tmp_path / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)

    assert device_command(tmp_path / "gpus", str(tmp_path)) == (str(program), *words)
    assert device_command(tmp_path / "gpus", str(tmp_path / "gpus")) == ()


@pytest.mark.parametrize(
    ("said", "slow"),
    [
        ("Mitigation: Speculative Store Bypass disabled via prctl and seccomp\n", True),
        ("Mitigation: Speculative Store Bypass disabled via prctl\n", False),
        ("Not affected\n", False),
    ],
)
def test_filters_are_left_out_where_the_kernel_slows_a_filtered_process_down(
    tmp_path: Path, said: str, *, slow: bool
) -> None:
    file = tmp_path / "spec_store_bypass"
    assert not filters_slow_down(file)

    file.write_text(said)

    assert filters_slow_down(file) is slow
