"""What the verbs that keep the store in order share: who is asked, what is asked, what is said."""

from __future__ import annotations

import sys

import click

from localllm.api.store_views import RemovedView, StoreView, TidyRequest
from localllm.api.sync_client import connect
from localllm.cli.pulling import a_desk
from localllm.errors import LocalLLMError
from localllm.paths import Paths


def read_store(paths: Paths, *, fit: bool) -> StoreView:
    """List what is on disk: the daemon knows what is served, and without one nothing is."""
    client = connect(paths.daemon_file)
    if client is not None:
        return client.store(fit=fit)
    from localllm.planning.shelf import show_store  # noqa: PLC0415  # heavy: only without a daemon

    return show_store(a_desk(paths, offline=True), frozenset(), fit=fit)


def remove(paths: Paths, name: str) -> RemovedView:
    """Remove a model.

    Raises:
        LocalLLMError: There is none of that name, or it is served.
    """
    client = connect(paths.daemon_file)
    if client is not None:
        return client.remove(name)
    from localllm.planning.shelf import remove_model  # noqa: PLC0415  # heavy: only without a daemon

    return remove_model(a_desk(paths, offline=True), name, frozenset())


def tidy(paths: Paths, request: TidyRequest) -> RemovedView:
    """Remove what is left over, and models that the request lets go; or say what that would be."""
    client = connect(paths.daemon_file)
    if client is not None:
        return client.tidy(request)
    from localllm.planning.tidying import tidy as tidy_here  # noqa: PLC0415  # heavy: likewise

    return tidy_here(a_desk(paths, offline=True), request, frozenset())


def agree(question: str, command: str, *, yes: bool) -> None:
    """Ask before something is removed.

    Raises:
        LocalLLMError: The answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise LocalLLMError(
            "Nothing was removed.",
            why="nobody can be asked here whether it may be",
            fix=f"{command} --yes",
        )
    if not click.confirm(question, default=False, err=True):
        raise LocalLLMError("Nothing was removed.", why="you said no", fix="localllm ls")
