"""An agent's files on disk: written, written again, and taken back."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localllm.agents import files, writing
from localllm.agents.connection import Connection
from localllm.agents.errors import NotOurs, Unreadable
from localllm.agents.places import Whereabouts
from localllm.agents.profile import find_agent, read_agents
from localllm.agents.settings import Settings, render_settings
from localllm.agents.undoing import Undone, connected_model, undo_settings
from localllm.agents.writing import Surroundings, Written, write_settings
from localllm.paths import bundled_profiles

AGENTS = read_agents(bundled_profiles())
WITH_FILES = [agent.id for agent in AGENTS if agent.files and agent.why_not is None]
SERVED = Connection("http://127.0.0.1:11711", "m", 65536, 2)
OLD = '{\n  // mine\n  "model": "opus",\n  "env": {"A": "1"}\n}\n'


class Home:
    """A home folder, and what is written for agents in it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "home"
        self.records = folder / "state" / "agents"
        self.cwd = self.path
        self.variables: dict[str, str] = {}
        self.now = datetime(2026, 11, 29, 20, 0, 0, tzinfo=UTC)
        self.path.mkdir()

    @property
    def claude(self) -> Path:
        return self.path / ".claude" / "settings.json"

    def settings(self, agent: str, served: Connection = SERVED) -> Settings:
        where = Whereabouts(self.path, self.variables)
        return render_settings(find_agent(AGENTS, agent), served, where)

    def write(self, agent: str = "claude-code", served: Connection = SERVED) -> list[Written]:
        around = Surroundings(self.path, self.cwd, self.records, self.now)
        return write_settings(self.settings(agent, served), around)

    def undo(self, agent: str = "claude-code") -> list[Undone]:
        return undo_settings(agent, self.records)

    def has(self, content: str, mode: int = 0o644) -> Path:
        self.claude.parent.mkdir(exist_ok=True)
        self.claude.write_text(content)
        self.claude.chmod(mode)
        return self.claude

    def everything(self) -> dict[str, bytes | None]:
        """Each file's content, each folder's None."""
        found = sorted(self.path.rglob("*"))
        return {str(f): f.read_bytes() if f.is_file() else None for f in found}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("agent", WITH_FILES)
def test_what_is_written_where_nothing_was_is_gone_again_after_undo(home: Home, agent: str) -> None:
    home.write(agent)
    written = home.everything()

    assert all(not f.changed for f in home.write(agent))
    assert home.everything() == written
    assert connected_model(agent, home.records) == "m"
    home.undo(agent)
    assert home.everything() == {}
    assert connected_model(agent, home.records) is None


def test_undo_restores_a_file_to_the_byte_with_its_mode(home: Home) -> None:
    file = home.has(OLD, 0o640)
    before = home.everything()

    (written,) = home.write()
    assert written.backup is not None
    assert (written.backup.read_text(), file.read_text() == OLD) == (OLD, False)
    assert {stat.S_IMODE(f.stat().st_mode) for f in (file, written.backup)} == {0o640}
    (undone,) = home.undo()

    assert undone.how == "restored as it was"
    assert home.everything() == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_new_file_and_the_record_are_for_their_user_alone(home: Home) -> None:
    home.write()

    record = home.records / "claude-code.json"
    assert [stat.S_IMODE(f.stat().st_mode) for f in (home.claude, record)] == [0o600, 0o600]


def test_another_model_is_written_over_the_first_and_undo_goes_back_before_both(home: Home) -> None:
    home.has(OLD)
    before = home.everything()

    home.write()
    home.write(served=replace(SERVED, model="other", context=4096))
    env = json.loads(home.claude.read_text().replace("// mine", ""))["env"]
    assert (env["ANTHROPIC_MODEL"], env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"]) == ("other", "4096")
    home.undo()

    assert home.everything() == before


def test_what_others_wrote_since_stays_and_is_named(home: Home) -> None:
    file = home.has(OLD)
    home.write()
    theirs = file.read_text().replace('"ANTHROPIC_MODEL": "m"', '"ANTHROPIC_MODEL": "opus"')
    file.write_text(theirs.replace("// mine", "// mine still"))

    (undone,) = home.undo()

    assert undone.left == ("env.ANTHROPIC_MODEL",)
    kept = OLD.replace("// mine", "// mine still")
    assert file.read_text() == kept.replace('"A": "1"}', '"A": "1", "ANTHROPIC_MODEL": "opus"}')


def test_what_others_wrote_between_two_writes_stays(home: Home) -> None:
    file = home.has(OLD)
    home.write()
    file.write_text(file.read_text().replace('"model": "opus"', '"model": "sonnet"'))

    (written,) = home.write(served=replace(SERVED, model="other"))
    home.undo()

    assert file.read_text() == OLD.replace("opus", "sonnet")
    assert written.backup is not None
    assert "sonnet" in written.backup.read_text()


def test_without_its_backup_the_settings_are_taken_out(home: Home) -> None:
    file = home.has(OLD)
    (written,) = home.write()
    assert written.backup is not None
    written.backup.unlink()

    home.undo()

    assert file.read_text() == OLD


def test_a_file_of_ours_that_others_added_to_stays_with_what_they_added(home: Home) -> None:
    home.write()
    home.claude.write_text(home.claude.read_text().replace("{\n", '{\n  "theme": "dark",\n', 1))

    home.undo()

    assert json.loads(home.claude.read_text()) == {"theme": "dark"}


def test_undo_of_nothing_and_of_what_is_gone_does_nothing(home: Home) -> None:
    assert home.undo() == []
    home.write()
    home.claude.unlink()

    assert [undone.how for undone in home.undo()] == ["it is gone"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{\n  "a": 1\n  "b": 2\n}', "at line 3, column 3"),
        (b'{\n"a": "\xff"}', "at line 2"),
        (b"[1]", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_left_as_it_is(home: Home, content: bytes, said: str) -> None:
    home.has("").write_bytes(content)
    before = home.everything()

    with pytest.raises(Unreadable, match=said):
        home.write()

    assert home.everything() == before
    assert not home.records.exists()


def test_of_two_files_none_is_written_if_one_cannot_be_read(home: Home) -> None:
    (home.path / ".pi" / "agent").mkdir(parents=True)
    (home.path / ".pi" / "agent" / "settings.json").write_text("{")

    with pytest.raises(Unreadable):
        home.write("pi")

    assert not (home.path / ".pi" / "agent" / "models.json").exists()


def test_a_link_stays_and_what_it_leads_to_is_written(home: Home) -> None:
    real = home.path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    (real.parent / ".git").mkdir()
    real.write_text(OLD)
    home.claude.parent.mkdir()
    home.claude.symlink_to(real)

    home.write()

    assert home.claude.is_symlink()
    assert "ANTHROPIC_MODEL" in real.read_text()
    home.undo()
    assert (home.claude.is_symlink(), real.read_text()) == (True, OLD)


def test_a_link_out_of_the_home_folder_is_refused(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.json"
    outside.write_text(OLD)
    home.claude.parent.mkdir()
    home.claude.symlink_to(outside)

    with pytest.raises(NotOurs, match="not in your home folder"):
        home.write()

    assert outside.read_text() == OLD


@pytest.mark.parametrize(
    ("leads_to", "cwd", "why"),
    [
        ("project/.claude", "home", "in the git repository"),
        ("project/sub/.claude", "home", "in the git repository"),
        ("home/project/.claude", "home", "in the git repository"),
        ("plain/.claude", "plain", "in the working directory"),
        (".claude", "home", "relative"),
    ],
)
def test_a_variable_that_leads_into_a_project_is_refused(
    home: Home, tmp_path: Path, leads_to: str, cwd: str, why: str
) -> None:
    for project in ("project", "home/project"):
        (tmp_path / project / ".git").mkdir(parents=True)
    (tmp_path / "plain").mkdir()
    relative = leads_to.startswith(".")
    home.variables["CLAUDE_CONFIG_DIR"] = leads_to if relative else str(tmp_path / leads_to)
    home.cwd = tmp_path / cwd

    with pytest.raises(NotOurs, match="CLAUDE_CONFIG_DIR") as refused:
        home.write()

    assert why in refused.value.why
    assert not (tmp_path / leads_to).exists()


@pytest.mark.parametrize("repository", ["", ".config"])
def test_a_users_own_configuration_may_be_a_repository(home: Home, repository: str) -> None:
    (home.path / repository / ".git").mkdir(parents=True)
    home.variables["XDG_CONFIG_HOME"] = str(home.path / ".config")
    if repository:
        del home.variables["XDG_CONFIG_HOME"]

    home.write("opencode")

    assert (home.path / ".config" / "opencode" / "opencode.json").exists()


def test_a_variable_that_leads_elsewhere_is_followed(home: Home, tmp_path: Path) -> None:
    home.variables["CLAUDE_CONFIG_DIR"] = str(tmp_path / "mine")

    home.write()

    assert (tmp_path / "mine" / "settings.json").exists()


def test_of_two_names_the_one_that_is_there_is_written(home: Home) -> None:
    folder = home.path / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.jsonc").write_text("{} // mine\n")

    home.write("opencode")

    assert "localllm" in (folder / "opencode.jsonc").read_text()
    assert not (folder / "opencode.json").exists()


def test_a_write_that_fails_leaves_the_file_and_can_be_undone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.has(OLD)
    before = home.everything()
    with failing(monkeypatch, "replace"), pytest.raises(OSError, match="disk"):
        home.write()
    assert file.read_text() == OLD

    home.undo()

    assert home.everything() == before


def test_after_a_write_that_failed_the_next_one_can_be_undone_to_the_byte(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.has(OLD)
    before = home.everything()
    with failing(monkeypatch, "replace"), pytest.raises(OSError, match="disk"):
        home.write()

    home.write()
    home.undo()

    assert home.everything() == before


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, call: str) -> Iterator[None]:
    """Have a call of the system fail for settings files, not for the record."""
    real = getattr(os, call)

    def fail(source: Path, target: Path) -> None:
        if target.name == "settings.json":
            raise OSError("disk")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, fail)
        yield


def test_a_file_that_changes_meanwhile_is_left(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home.has(OLD)

    def slow(folder: Path) -> list[Path]:
        file.write_text("theirs")
        return files.make_folders(folder)

    monkeypatch.setattr(writing, "make_folders", slow)
    with pytest.raises(Unreadable, match="changed meanwhile"):
        home.write()

    assert file.read_text() == "theirs"
