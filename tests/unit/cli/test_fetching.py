"""What is looked at before anything is fetched: engines, room, what a model sees with."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localllm.api.pull_views import PullRequest, PullView, ThenView
from localllm.api.views import ServeReply, ServeRequest
from localllm.cli import engine_first, fetching, serving
from localllm.cli.engine_first import what_lacks, with_engine_here
from localllm.cli.permission import Permission
from localllm.cli.pulling import a_desk, pull_here
from localllm.errors import EngineNeeded, EngineUnusable, LocalLLMError, NoSpace
from localllm.formats.header import Format
from localllm.paths import Paths
from localllm.planning.desk import Desk
from localllm.planning.pull_plans import PullPlan
from localllm.store.job import FileProgress, FileState, PullJob, PullProgress
from localllm.store.repository import RepositoryFile
from localllm.transfer.disk import SPARE_BYTES
from tests.unit.cli.a_pull import a_pull

MIB, SHA = 1 << 20, "a" * 64
WANTED, ANYWHERE = ServeRequest(model="m"), ServeRequest(model="m", allow_cpu=True)
NEEDED = EngineNeeded("No engine.", why="-", fix="fetch one")
BROKEN = EngineUnusable("The driver does not answer.", why="-", fix="--allow-cpu")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(*(tmp_path / name for name in ("config", "data", "state", "cache")))


@pytest.fixture
def desk(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return a_desk(paths)


def a_plan(*names: str, size_bytes: int = 10 * MIB, lacking_bytes: int | None = None) -> PullPlan:
    files = tuple(RepositoryFile(name, size_bytes, sha256=SHA) for name in names)
    job = PullJob("me/m", "c" * 40, files)
    lacking = job.size_bytes if lacking_bytes is None else lacking_bytes
    return PullPlan("m", None, job, "it fits", on_disk=False, size_bytes=lacking)


def raising(error: LocalLLMError) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (["m-Q4_K_M.gguf"], [Format.GGUF]),
        (["Model.GGUF"], [Format.GGUF]),
        (["mmproj-F16.gguf"], [Format.GGUF]),
        (["config.json", "model.safetensors", "tokenizer.json"], []),
    ],
)
def test_an_engine_may_only_be_lacking_for_a_gguf(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, files: list[str], asked: list[Format]
) -> None:
    seen: list[Format] = []
    monkeypatch.setattr(fetching, "what_lacks", lambda _desk, _wanted, kind: seen.append(kind))

    lacking = fetching._what_lacks(desk, a_plan(*files), WANTED)

    assert (lacking.engines, seen) == ((), asked)


def an_engine_desk(on_device: LocalLLMError | None, anywhere: LocalLLMError | None) -> Any:
    """Engines that cannot serve on the accelerator, or not at all."""

    def choose(_seen: object, wanted: ServeRequest, _format: Format) -> None:
        error = anywhere if wanted.allow_cpu else on_device
        if error is not None:
            raise error

    return SimpleNamespace(survey=lambda: None, engine_desk=SimpleNamespace(choose=choose))


@pytest.mark.parametrize(
    ("on_device", "wanted", "lacks"),
    [
        (None, WANTED, None),
        (NEEDED, WANTED, NEEDED),
        (NEEDED, ANYWHERE, NEEDED),
        (BROKEN, ANYWHERE, None),
    ],
)
def test_no_engine_is_lacking_where_the_processor_will_do_and_none_would_help(
    on_device: LocalLLMError | None, wanted: ServeRequest, lacks: LocalLLMError | None
) -> None:
    assert what_lacks(an_engine_desk(on_device, None), wanted, Format.GGUF) is lacks


@pytest.mark.parametrize(("wanted", "anywhere"), [(WANTED, None), (ANYWHERE, BROKEN)])
def test_what_no_engine_can_serve_at_all_is_an_error(
    wanted: ServeRequest, anywhere: LocalLLMError | None
) -> None:
    with pytest.raises(EngineUnusable):
        what_lacks(an_engine_desk(BROKEN, anywhere), wanted, Format.GGUF)


@pytest.mark.parametrize(("wanted", "asked"), [(ANYWHERE, [False, True]), (WANTED, [False])])
def test_with_a_broken_driver_a_model_is_asked_for_on_the_processor_if_that_is_allowed(
    paths: Paths, wanted: ServeRequest, asked: list[bool]
) -> None:
    seen: list[bool] = []

    def ask(request: ServeRequest) -> str:
        seen.append(request.allow_cpu)
        if not request.allow_cpu:
            raise BROKEN
        return "served"

    try:
        client: Any = SimpleNamespace(serve=ask)
        serving._with_engine(client, paths, wanted, "serve", Permission())
    except EngineUnusable:
        assert not wanted.allow_cpu

    assert seen == asked


def test_for_safetensors_that_are_here_no_engine_is_fetched(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"x")
    monkeypatch.setattr(engine_first, "what_lacks", raising(NEEDED))
    wanted = ServeRequest(model=str(folder))

    assert with_engine_here(paths, wanted, Permission(yes=True)) == wanted


@pytest.mark.parametrize(("engines", "said"), [((), ["switch"]), (("a build",), [None, "switch"])])
def test_the_daemon_serves_what_it_has_pulled_once_the_engine_is_here_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, engines: tuple[str, ...], said: list[str | None]
) -> None:
    order: list[str | None] = []
    reply = ServeReply(id="m", instance="m:1", already=False, stand_in=False, reason="")
    begun = ThenView(how="switch", request=WANTED, reply=reply, error=None)

    def pull(request: PullRequest) -> PullView:
        order.append(request.then)
        return a_pull(state="done", then=begun)

    client: Any = SimpleNamespace(pull=pull, pulls=list)
    monkeypatch.setattr(fetching, "_install", lambda _found, wanted: wanted)
    monkeypatch.setattr(fetching, "a_display", lambda: SimpleNamespace(show=print, end=print))
    lacking = fetching.Lacking(desk, a_plan("a.gguf"), None, engines)  # type: ignore[arg-type]

    brought = fetching._fetch(client, lacking, WANTED, "switch")

    assert (order, brought.reply) == (said, reply)


def a_disk_with(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    free += SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_what_there_is_no_room_for_is_refused_before_the_question(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_disk_with(monkeypatch, 9 * MIB)
    monkeypatch.setattr(fetching, "_agree", raising(AssertionError("asked")))  # type: ignore[arg-type]

    with pytest.raises(NoSpace, match="There is no room for"):
        fetching.fetch_planned(None, desk, a_plan("model.safetensors"), WANTED, Permission())


def test_ctrl_c_counts_all_files_of_a_pull_also_those_that_were_here(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = a_plan("a.gguf", "b.gguf", lacking_bytes=10 * MIB)

    async def pull(_job: object, _environment: object, tell: Any, **_: object) -> Path:
        done = FileProgress("a.gguf", 10 * MIB, 10 * MIB, FileState.DONE)
        tell(PullProgress((done, FileProgress("b.gguf", 10 * MIB, 5 * MIB, FileState.FETCHING))))
        raise KeyboardInterrupt

    monkeypatch.setattr("localllm.store.pulling.pull", pull)
    display: Any = SimpleNamespace(show=lambda _: None, end=lambda: None)

    with pytest.raises(KeyboardInterrupt):
        pull_here(desk, plan, display)

    assert "what has come is kept (15 MiB of 20 MiB)" in capsys.readouterr().err
