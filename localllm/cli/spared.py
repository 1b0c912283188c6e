"""What has to stay on this disk, as a daemon knows it: asked of one, or read of what one has left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from localllm.api.sync_client import DaemonClient, connect
from localllm.errors import LocalLLMError, NotRunning
from localllm.paths import Paths

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.tidying import Spared

_NOT_FOUND = 404


class _Serving(msgspec.Struct):
    pinned: list[str] = []


class _Job(msgspec.Struct):
    repo: str


class _Wanted(msgspec.Struct):
    job: _Job


class _Pull(msgspec.Struct):
    wanted: _Wanted


class _Pulls(msgspec.Struct):
    pulls: list[_Pull] = []
    """Those that have not ended."""


T = TypeVar("T", _Serving, _Pulls)


def read_spared(paths: Paths) -> Spared:
    """Read what is pinned, when models were asked last, and what is being pulled.

    A file that is broken says nothing.
    """
    from localllm.metrics.last_used import read_last_used  # noqa: PLC0415  # only without a daemon
    from localllm.planning.tidying import Spared  # noqa: PLC0415

    pulls = _read(paths.pulls, _Pulls()).pulls
    return Spared(
        frozenset(_read(paths.serving, _Serving()).pinned),
        read_last_used(paths.requests_db),
        frozenset(pull.wanted.job.repo for pull in pulls),
    )


def _read(file: Path, nothing: T) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=type(nothing))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return nothing


def read_served(paths: Paths, desk: Desk) -> frozenset[Path]:
    """List files that a daemon of other surroundings serves: its cache may be ours all the same."""
    client = connect(paths.daemon_file)
    if client is None:
        return frozenset()
    try:
        return _told_by(client, desk)
    except NotRunning:
        return frozenset()


def _told_by(client: DaemonClient, desk: Desk) -> frozenset[Path]:
    try:
        models = client.store(fit=False).models
    except LocalLLMError as error:
        if error.http_status != _NOT_FOUND:
            raise
        return _by_name(client, desk)  # it is older than this call
    return frozenset(_real(model.path) for model in models if model.served)


def _by_name(client: DaemonClient, desk: Desk) -> frozenset[Path]:
    from localllm.planning.shelf import models_here  # noqa: PLC0415  # only beside an old daemon
    from localllm.store.local import model_id  # noqa: PLC0415

    served = {model.id for model in client.models()}
    here = [m for m in models_here(desk) if served & {m.profile, model_id(m.path)}]
    return frozenset(_real(str(model.path)) for model in here)


def _real(path: str) -> Path:
    return Path(os.path.realpath(path))
