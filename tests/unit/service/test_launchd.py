"""How launchctl is used, and what is read in what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.service.launchd import Launchd
from localllm.service.manager import Look, Said, ServiceError
from tests.fakes.a_service import Scripted, a_service

RUNS = """\
gui/501/localllm = {
\tactive count = 1
\tpath = /Users/me/Library/LaunchAgents/localllm.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /opt/localllm/bin/python
\tenvironment = {
\t\tPATH => /usr/bin
\t\tstate = none of launchd's
\t}

\truns = 3
\tpid = 4711
\timmediate reason = speculative
\tlast exit code = 7
}
"""
RESTS = RUNS.replace("running", "not running").replace("\tpid = 4711\n", "")
UNKNOWN = Said(113, "", 'Could not find service "localllm" in domain for user gui: 501')


def an_agent(tmp_path: Path, *printed: Said, **answers: list[Said]) -> tuple[Launchd, Scripted]:
    scripted = Scripted({"launchctl print ": list(printed), **answers})
    wanted_in = tmp_path / "Library" / "LaunchAgents"
    return Launchd(wanted_in, scripted, 501, pause=lambda _s: None), scripted


@pytest.mark.parametrize(
    ("printed", "look"),
    [
        (
            Said(0, RUNS, ""),
            Look(enabled=True, state="active", pid=4711, restarts=2, last_exit="exit 7"),
        ),
        (Said(0, RESTS, ""), Look(enabled=True, state="failed", restarts=2, last_exit="exit 7")),
        (
            Said(0, RESTS.replace("= 7", "= 0"), ""),
            Look(enabled=True, state="inactive", restarts=2, last_exit="exit 0"),
        ),
        (
            Said(0, RESTS.replace("= 7", "= (never exited)"), ""),
            Look(enabled=True, state="inactive", restarts=2),
        ),
        (
            Said(0, RESTS.replace("not running", "spawn scheduled"), ""),
            Look(enabled=True, state="starting", restarts=2, last_exit="exit 7"),
        ),
        (UNKNOWN, Look(enabled=False, state="inactive")),
    ],
)
def test_what_launchd_prints_is_understood(tmp_path: Path, printed: Said, look: Look) -> None:
    launchd, _ = an_agent(tmp_path, printed)

    assert launchd.look() == look


def test_an_agent_that_is_known_is_drained_and_forgotten_first_and_the_new_one_not_started(
    tmp_path: Path,
) -> None:
    known, rests = Said(0, RUNS, ""), Said(0, RESTS.replace("= 7", "= 0"), "")
    launchd, scripted = an_agent(tmp_path, known, known, rests, rests, rests, UNKNOWN)
    wanted = a_service(log=str(tmp_path / "logs" / "daemon.log"))

    launchd.install(wanted)

    assert [line for line in scripted.asked if "print" not in line] == [
        "launchctl kill SIGTERM gui/501/localllm",
        "launchctl bootout gui/501/localllm",
        "launchctl enable gui/501/localllm",
    ]
    assert launchd.look().enabled, "the next login starts it"
    assert launchd.read() == wanted
    assert (tmp_path / "logs").is_dir(), "launchd does not start what it has no log for"


def test_uninstall_takes_the_file_away_and_none_being_there_is_no_error(tmp_path: Path) -> None:
    launchd, _ = an_agent(tmp_path, UNKNOWN)
    launchd.install(a_service(log=str(tmp_path / "daemon.log")))

    launchd.uninstall()
    launchd.uninstall()

    assert not launchd.is_there()


def test_a_stop_is_asked_for_politely_and_waited_for(tmp_path: Path) -> None:
    known, gone = Said(0, RUNS, ""), Said(0, RESTS.replace("= 7", "= 0"), "")
    launchd, scripted = an_agent(tmp_path, known, known, gone)

    launchd.stop()

    assert "launchctl kill SIGTERM gui/501/localllm" in scripted.asked
    assert not [line for line in scripted.asked if "bootout" in line]


def test_one_that_waits_to_be_tried_again_is_stopped_by_being_forgotten_until_the_next_login(
    tmp_path: Path,
) -> None:
    waits = Said(0, RESTS.replace("not running", "spawn scheduled"), "")
    launchd, scripted = an_agent(tmp_path, waits, waits, waits, UNKNOWN)

    launchd.stop()

    assert "launchctl bootout gui/501/localllm" in scripted.asked


@pytest.mark.parametrize(
    ("printed", "verbs"),
    [
        (UNKNOWN, ["bootstrap"]),
        (Said(0, RESTS, ""), ["kickstart"]),
        (Said(0, RUNS, ""), []),
    ],
)
def test_a_start_is_asked_for_once_in_the_way_that_its_state_wants(
    tmp_path: Path, printed: Said, verbs: list[str]
) -> None:
    launchd, scripted = an_agent(tmp_path, printed)

    launchd.start()

    assert [line.split()[1] for line in scripted.asked if "print" not in line] == verbs


def test_what_launchd_refuses_is_told_with_its_own_words(tmp_path: Path) -> None:
    refused = Said(5, "", "Bootstrap failed: 5: Input/output error")
    launchd, scripted = an_agent(tmp_path, UNKNOWN)
    scripted.answers["launchctl bootstrap"] = [refused]

    launchd.install(a_service(log=str(tmp_path / "daemon.log")))

    with pytest.raises(ServiceError) as raised:
        launchd.start()

    assert "Input/output error" in raised.value.why
