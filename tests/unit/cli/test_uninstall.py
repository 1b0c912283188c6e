"""What `uninstall` asks, says and leaves where it is told to leave it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import filelock
import pytest
from click.testing import CliRunner, Result

from localllm.cli.main import cli
from localllm.errors import AlreadyRunning

WRITTEN = Path(__file__).parents[2] / "data" / "state" / "v1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation that ran once; codex's own file is gone since."""
    shutil.copytree(WRITTEN, tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "engines")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("")
    return tmp_path


def uninstall(home: Path, *words: str, answers: str | None = None) -> Result:
    environment = {
        "LOCALLLM_HOME": str(home),
        "HOME": str(home / "user"),
        "XDG_CONFIG_HOME": str(home / "user"),
        "XDG_DATA_HOME": str(home / "user"),
        "HF_HUB_CACHE": str(home / "hub"),
    }
    return CliRunner().invoke(cli, ["uninstall", *words], env=environment, input=answers)


def left(home: Path) -> list[str]:
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_where_nobody_can_be_asked_nothing_goes(home: Path) -> None:
    before = left(home)

    ran = uninstall(home)

    assert ran.exit_code == 2
    assert "--yes does it" in ran.output
    assert left(home) == before


def test_a_dry_run_says_all_in_one_document(home: Path) -> None:
    before = left(home)

    told = json.loads(uninstall(home, "--dry-run", "--json").stdout)

    assert told["agents"] == ["codex"]
    assert told["settings"] == [str(home / "config" / "config.toml")]
    assert (told["daemon"], told["service"], told["foreign"]) == (False, None, [])
    assert left(home) == before


def test_what_is_to_be_kept_is_kept(home: Path) -> None:
    ran = uninstall(home, "--yes", "--keep-config", "--keep-agents")

    assert ran.exit_code == 0, ran.output
    assert left(home) == ["config/config.toml", "state/agents/codex.json"]


def test_an_agents_record_that_cannot_be_undone_stays_and_is_told(home: Path) -> None:
    record = home / "state" / "agents" / "codex.json"
    record.write_text(record.read_text().replace('"format": 1', '"format": 9'))

    ran = uninstall(home, "--yes")

    assert ran.exit_code == 1
    assert "codex stays as it is" in ran.stderr
    assert left(home) == ["state/agents/codex.json"]


def test_a_damaged_record_of_an_agent_stays_and_is_told(home: Path) -> None:
    record = home / "state" / "agents" / "codex.json"
    record.write_text(record.read_text()[:-20])

    ran = uninstall(home, "--yes")

    assert ran.exit_code == 1
    assert f"codex stays as it is: {record}" in ran.stderr
    assert left(home) == ["state/agents/codex.json"]


@pytest.mark.parametrize("lock", ["state/daemon.lock", "cache/upgrade.lock"])
def test_beside_a_daemon_that_does_not_answer_or_an_upgrade_nothing_goes(
    home: Path, lock: str
) -> None:
    (home / "cache").mkdir()
    before = left(home)

    with filelock.FileLock(home / lock, is_singleton=False):
        ran = uninstall(home, "--yes")

    assert isinstance(ran.exception, AlreadyRunning), ran.output
    assert {*before} <= {*left(home)}
    assert uninstall(home, "--yes").exit_code == 0
    assert left(home) == []


def test_all_goes(home: Path) -> None:
    ran = uninstall(home, "--yes")

    assert ran.exit_code == 0, ran.output
    assert left(home) == []
