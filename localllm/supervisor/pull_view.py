"""A pull as the control API shows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from localllm.api.pull_views import (
    EngineFetchView,
    PulledFileView,
    PullErrorView,
    PullView,
    ThenView,
)
from localllm.store.job import FileProgress, FileState
from localllm.store.pull_talk import Failure
from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pull_speed import left_s
from localllm.supervisor.pulling_list import Pull, PullState


def render_pull(pull: Pull, now: float, engine: EngineFetchView | None = None) -> PullView:
    """Show one.

    Args:
        now: On the loop's clock.
        engine: That is being fetched for whoever lacks one.
    """
    wanted, speed = pull.wanted, pull.speed.bytes_per_s(now)
    size, here = wanted.job.size_bytes, pull.here_bytes
    return PullView(
        id=pull.id,
        model=wanted.model,
        repo=wanted.job.repo or None,
        commit=wanted.job.commit or None,
        quant=wanted.quant,
        state=pull.state.value,
        size=size,
        here=here,
        speed=speed,
        left=left_s(here, size, speed),
        note=_note(pull),
        files=[_file(file, pull.state) for file in _files(pull)],
        error=None if pull.failure is None else _error(pull.failure),
        reason=wanted.reason,
        then=None if pull.then is None else _then(pull.then, engine),
    )


def _files(pull: Pull) -> Iterable[FileProgress]:
    if pull.was_here:
        return ()
    if pull.progress is not None:
        return pull.progress.files
    files = pull.wanted.job.files
    return (FileProgress(f.path, f.size_bytes, 0, FileState.WAITING) for f in files)


def _file(file: FileProgress, state: PullState) -> PulledFileView:
    """Show one file; of a pull that does not run, none is being fetched."""
    whole, runs = state is PullState.DONE, state is PullState.FETCHING
    is_done = whole or file.state is FileState.DONE
    shown = FileState.DONE if is_done else file.state if runs else FileState.WAITING
    here = file.size_bytes if whole else file.here_bytes
    return PulledFileView(path=file.path, size=file.size_bytes, here=here, state=shown.value)


def _note(pull: Pull) -> str | None:
    match pull.state:
        case PullState.FETCHING if pull.progress is not None:
            return pull.progress.note
        case PullState.QUEUED if pull.tries:
            return pull.why
        case PullState.QUEUED:
            return "waits for its turn"
        case PullState.PAUSED:
            return pull.why
        case _:
            return None


def _then(then: Then, engine: EngineFetchView | None) -> ThenView:
    return ThenView(
        how=then.how,
        request=then.request,
        reply=then.reply,
        error=None if then.refused is None else _error(then.refused),
        engine=engine if then.lacks_engine and then.waits else None,
    )


def _error(failure: Failure) -> PullErrorView:
    message = f"{failure.what}\n  why: {failure.why}\n  fix: {failure.fix}"
    return PullErrorView(message=message, code=failure.code)
