"""How an upgrade goes about its steps, and how it gets out of each; the installers are real elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest
from click.testing import CliRunner

from localllm import __version__
from localllm.cli import changing_over, new_version, upgrade
from localllm.cli.changing_over import Before, change_over
from localllm.cli.main import cli
from localllm.cli.render_upgrade import render_upgrade
from localllm.errors import AlreadyRunning, NoNetwork, NotRunning, StartFailed
from localllm.installation.commands import Source
from localllm.installation.method import Installed, Method
from localllm.installation.planning import Upgrade
from localllm.installation.rehearsal import Change
from localllm.paths import Paths, paths_for

FAILING = (
    '{"daemon":{"version":"2.0"},"models":[{"id":"m","state":"failed",'
    '"error":{"reason":"no","fix":null,"log":[]}}]}'
)
HERE = Installed(Method.PIPX, "1.0", "python", Path("/site"))
FAILED = NoNetwork("no", why="down", fix="wait")


def an_upgrade(version: str = "2.0", **more: object) -> Upgrade:
    plain: dict[str, object] = {"packages": (), "engines": (), "state": (), "changelog": ""}
    return Upgrade(HERE, version, Source(), **{**plain, **more})  # type: ignore[arg-type]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_for({"LOCALLLM_HOME": str(tmp_path)})


def test_what_changes_is_told_and_what_stays_is_not() -> None:
    told = render_upgrade(
        an_upgrade(
            packages=(Change("anyio", "4.9", "4.11"), Change("localllm", "1.0", "2.0")),
            engines=(Change("llama-server", "100", "200"),),
            state=(Change("serving.json", "1", "2"),),
            changelog="## 2.0\n\nFaster.",
        ),
        due=True,
    )

    text = "\n".join(" ".join(line.split()) for line in told)
    assert "localllm 1.0 -> 2.0, by pipx" in text
    assert "anyio 4.9 -> 4.11" in text
    assert text.count("localllm") == 1
    assert "llama-server 100 -> 200" in text
    assert "copies of them stay:\nserving.json 1 -> 2" in text
    assert "Faster." in text
    assert len(render_upgrade(an_upgrade(), due=True)) == 1


def test_going_back_tells_which_files_the_old_version_will_not_read() -> None:
    back = an_upgrade("0.9", state=(Change("serving.json", "2", "1"),))

    assert "  serving.json" in render_upgrade(back, due=True)
    assert "will not read" in "\n".join(render_upgrade(back, due=True))


def test_what_is_up_to_date_is_said_in_a_line() -> None:
    assert render_upgrade(an_upgrade("1.0"), due=False) == [
        "localllm 1.0, installed by pipx, is up to date"
    ]
    assert render_upgrade(an_upgrade("0.9"), due=False)[0].endswith("the newest there is: 0.9")


def test_a_checkout_is_told_how_it_is_brought_up_to_date() -> None:
    ran = CliRunner().invoke(cli, ["upgrade", "--check"])

    assert "git -C" in getattr(ran.exception, "fix", "")


def test_one_upgrade_at_a_time_and_what_a_killed_one_left_goes(paths: Paths) -> None:
    (paths.cache / "localllm-upgrade-old").mkdir(parents=True)

    with upgrade._a_folder(paths) as folder:
        assert [one.name for one in paths.cache.glob("localllm-upgrade-*")] == [folder.name]
        with pytest.raises(AlreadyRunning), upgrade._a_folder(paths):
            pass

    assert not folder.exists()
    with filelock.FileLock(paths.cache / "upgrade.lock", blocking=False):
        pass


class Stage:
    """What the steps would touch, and a list of what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, service: bool = False) -> None:
        self.done: list[str] = []
        self.says = "localllm, version 2.0"
        self.status: str | None = (
            '{"daemon":{"version":"2.0"},"models":[{"id":"m","state":"ready"}]}'
        )
        self.daemon: object | None = SimpleNamespace(
            shut_down=lambda *, forget: self.note(f"shut down, forget={forget}")
        )
        self.service = (
            SimpleNamespace(
                stop=lambda: self.note("stop service"),
                start=lambda: self.note("start service"),
                put_back=lambda: self.note("put service back"),
            )
            if service
            else None
        )
        self.before = Before(self.service, 1, ("m",), 1)  # type: ignore[arg-type]
        monkeypatch.setattr(changing_over, "_look_at", lambda *_: self.before)
        monkeypatch.setattr(changing_over, "connect", lambda _: self.daemon)
        monkeypatch.setattr(changing_over, "wait_until_gone", lambda *_: self.gone())
        monkeypatch.setattr(changing_over, "start_daemon", lambda *_: self.note("start daemon"))
        monkeypatch.setattr(changing_over, "installed_service", lambda *_: self.service)
        monkeypatch.setattr(new_version, "run", self.run)

    def note(self, what: str) -> None:
        self.done.append(what)

    def gone(self) -> None:
        self.daemon = None

    def run(self, *words: str, **_: float) -> str:
        if words[0] == "-c":
            self.note("renew service")
            return ""
        said = self.says if words == ("--version",) else self.status
        if not said:
            raise StartFailed("no", why="it does not run", fix="-")
        return said

    def change_over(self, paths: Paths, *, fails: bool = False, stuck: bool = False) -> None:
        def deaf() -> None:
            for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                assert signal.getsignal(one) is signal.SIG_IGN

        def forth() -> None:
            self.note("install")
            deaf()
            if fails:
                raise FAILED

        def back() -> None:
            self.note("back")
            deaf()
            if stuck:
                raise FAILED

        change_over(paths, "2.0", forth=forth, back=back)


def test_the_daemon_ends_before_the_files_change_and_starts_after(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)

    stage.change_over(paths)

    assert stage.done == ["shut down, forget=False", "install", "start daemon"]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_service_is_stopped_and_started_by_its_manager(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch, service=True)

    stage.change_over(paths)

    assert stage.done == ["stop service", "install", "renew service", "start service"]


def test_where_no_daemon_ran_none_is_started(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.daemon = None

    stage.change_over(paths)

    assert stage.done == ["install"]


def test_an_installation_that_fails_brings_the_daemon_back(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)

    with pytest.raises(NoNetwork):
        stage.change_over(paths, fails=True)

    assert stage.done == ["shut down, forget=False", "install", "start daemon"]


def test_an_installation_that_leaves_half_of_it_is_undone(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)
    stage.says = ""

    with pytest.raises(NoNetwork):
        stage.change_over(paths, fails=True)

    assert stage.done == ["shut down, forget=False", "install", "back", "start daemon"]


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ("localllm, version 1.0", "{}"),
        ("", "{}"),
        (
            "localllm, version 2.0",
            '{"daemon":{"version":"2.0"},"models":[{"id":"m","state":"failed",'
            '"error":{"reason":"no","fix":null,"log":[]}}]}',
        ),
    ],
)
def test_a_version_that_does_not_run_or_serve_gives_way_to_the_old_one(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, says: str, status: str
) -> None:
    stage = Stage(monkeypatch)
    stage.says, stage.status = says, status

    with pytest.raises(StartFailed, match="the old one is back"):
        stage.change_over(paths)

    assert stage.done[-2:] == ["back", "start daemon"]


@pytest.mark.parametrize("fails", [True, False])
def test_what_ran_runs_again_even_if_the_old_version_cannot_be_put_back(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    stage = Stage(monkeypatch)
    stage.says = ""

    with pytest.raises(NoNetwork):
        stage.change_over(paths, fails=fails, stuck=True)

    assert stage.done[-2:] == ["back", "start daemon"]


def test_a_service_s_file_is_put_back_with_the_old_version(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch, service=True)
    stage.status = FAILING

    with pytest.raises(StartFailed):
        stage.change_over(paths)

    assert stage.done[-3:] == ["put service back", "back", "start service"]


def test_a_model_that_failed_before_the_upgrade_does_not_undo_it(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)
    stage.status = FAILING
    stage.before = Before(None, 1, (), 0, frozenset({"m"}))

    stage.change_over(paths)

    assert "back" not in stage.done


def test_what_was_served_and_what_failed_are_told_apart(paths: Paths) -> None:
    paths.state.mkdir()
    paths.serving.write_text('{"format":1,"serving":[{},{}],"pinned":[]}')
    listed = [
        SimpleNamespace(id="good", state="ready", wanted=True),
        SimpleNamespace(id="bad", state="failed", wanted=False),
    ]
    client = SimpleNamespace(models=lambda: listed, daemon=SimpleNamespace(pid=1, port=2))

    before = changing_over._look_at(client, None, paths)  # type: ignore[arg-type]

    assert before == Before(None, 2, ("good",), 1, frozenset({"bad"}))


def test_an_upgrade_does_not_wait_for_a_download(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)
    stage.status = '{"daemon":{"version":"2.0"},"models":[{"id":"m","state":"downloading"}]}'

    stage.change_over(paths)

    assert stage.done[-1] == "start daemon"


def test_a_daemon_that_has_just_ended_is_drained(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)

    def gone(*, forget: bool) -> None:
        raise NotRunning("no", why="it ended", fix="-")

    stage.daemon = SimpleNamespace(shut_down=gone)

    stage.change_over(paths)

    assert stage.done == ["install", "start daemon"]


def test_a_terminal_that_is_gone_is_no_reason_to_go_back(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(monkeypatch)

    def gone(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(changing_over, "say", gone)

    stage.change_over(paths)

    assert stage.done == ["shut down, forget=False", "install", "start daemon"]


def test_once_the_files_change_nothing_more_of_them_is_imported() -> None:
    """What start_daemon imports as it needs it would be of another version than the rest."""
    code = """if True:
        import sys
        import localllm.cli.changing_over
        for name in ("cli.service_start", "api.exposure", "api.key_file", "config.reading"):
            assert f"localllm.{name}" in sys.modules, name
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_of_this_tree_is_named_by_the_command() -> None:
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output
