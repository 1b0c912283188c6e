"""The agent as launchd reads it. Types are those of launchd.plist(5)."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.service.launchd_plist import agent_of, parse_made_of, render_plist
from tests.fakes.a_service import a_service

TYPES: dict[str, type | tuple[type, ...]] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "WorkingDirectory": str,
    "RunAtLoad": bool,
    "KeepAlive": (bool, dict),
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "SoftResourceLimits": dict,
    "StandardErrorPath": str,
}
OF_KEEP_ALIVE = {"SuccessfulExit": bool, "Crashed": bool, "PathState": dict}
LIMITS = {
    *("Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses"),
    *("ResidentSetSize", "Stack"),
}
PROCESS_TYPES = {"Background", "Standard", "Adaptive", "Interactive"}
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"))


def test_every_key_is_one_of_launchd_s_with_a_value_of_its_type() -> None:
    agent: dict[str, Any] = plistlib.loads(render_plist(a_service()))

    ours = {key for key in agent if key not in TYPES}
    assert ours == {"LocalLLMMadeOf"}
    assert {
        k: type(v) for k, v in agent.items() if k in TYPES and not isinstance(v, TYPES[k])
    } == {}
    assert all(isinstance(word, str) for word in agent["ProgramArguments"])
    assert all(isinstance(value, str) for value in agent["EnvironmentVariables"].values())
    assert all(isinstance(agent["KeepAlive"][k], OF_KEEP_ALIVE[k]) for k in agent["KeepAlive"])
    assert agent["ProcessType"] in PROCESS_TYPES
    assert set(agent["SoftResourceLimits"]) <= LIMITS
    assert all(type(limit) is int for limit in agent["SoftResourceLimits"].values())


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), VALUES), VALUES)
def test_it_is_read_as_it_was_written(variables: dict[str, str], name: str) -> None:
    wanted = a_service(environment=variables, python=f"/Applications/{name}/python")
    content = render_plist(wanted)

    assert plistlib.loads(content) == agent_of(wanted)
    assert content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC')
    assert parse_made_of(content) == wanted


def test_a_crash_starts_it_again_and_an_end_that_was_asked_for_does_not() -> None:
    assert agent_of(a_service())["KeepAlive"] == {"SuccessfulExit": False}


@pytest.mark.parametrize(
    "content", [b"", b"<plist>", b"bplist00", plistlib.dumps({}), plistlib.dumps([])]
)
def test_what_is_not_ours_is_nobody_s(content: bytes) -> None:
    assert parse_made_of(content) is None
