"""What the verbs that keep the store in order share: who is asked, what is asked, what is said."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from localllm.api.store_views import RemovedView, StoreView, TidyRequest
from localllm.api.sync_client import DaemonClient
from localllm.cli.pulling import a_daemon_of_our_hub, a_desk
from localllm.cli.spared import read_served, read_spared
from localllm.cli.unfinished import find_pull
from localllm.errors import LocalLLMError, ModelNotFound
from localllm.paths import Paths
from localllm.store.access import endpoint_of
from localllm.wording.figures import size_of
from localllm.wording.plain import plain


def read_store(paths: Paths, *, fit: bool) -> StoreView:
    """List what is on disk: the daemon knows what is served, and without one nothing is."""
    client = a_daemon_of_our_hub(paths)
    if client is not None:
        return client.store(fit=fit)
    from localllm.planning.shelf import show_store  # noqa: PLC0415  # heavy: only without a daemon

    desk = a_desk(paths, offline=True)
    return show_store(desk, read_served(paths, desk), fit=fit)


def remove(paths: Paths, name: str) -> RemovedView:
    """Remove a model.

    Raises:
        LocalLLMError: There is none of that name, or it is served.
    """
    client = a_daemon_of_our_hub(paths)
    if client is not None:
        with _naming_its_pull(client, name):
            return client.remove(name)
    from localllm.planning.shelf import remove_model  # noqa: PLC0415  # heavy: only without a daemon

    desk = a_desk(paths, offline=True)
    return remove_model(desk, name, read_served(paths, desk))


def tidy(paths: Paths, request: TidyRequest) -> RemovedView:
    """Remove what is left over, and models that the request lets go; or say what that would be."""
    client = a_daemon_of_our_hub(paths)
    if client is not None:
        return client.tidy(request)
    from localllm.planning.tidying import tidy as tidy_here  # noqa: PLC0415  # heavy: likewise

    desk = a_desk(paths, offline=True)
    return tidy_here(desk, request, read_served(paths, desk), read_spared(paths))


def said_of(paths: Paths, names: Sequence[str]) -> Iterator[str]:
    """Say what each name means, and how large that is, before anybody is asked about it.

    Raises:
        ModelNotFound: There is none of that name.
    """
    from localllm.planning.finding import find_on_disk  # noqa: PLC0415  # heavy
    from localllm.planning.shelf import models_here  # noqa: PLC0415

    desk = a_desk(paths, offline=True)
    client, models = a_daemon_of_our_hub(paths), models_here(desk)
    for name in names:
        with _naming_its_pull(client, name):
            meant = find_on_disk(name, models, desk)
        yield plain(f"{meant.name} ({size_of(meant.model.size_bytes)})")


@contextmanager
def _naming_its_pull(client: DaemonClient | None, name: str) -> Iterator[None]:
    """Say of a model that has not come yet how its pull is ended."""
    try:
        yield
    except ModelNotFound as error:
        if client is None or not _is_being_pulled(client, name):
            raise
        raise ModelNotFound(
            error.what,
            why="its pull has not ended",
            fix=f"localllm pull {shlex.quote(plain(name))} --cancel ends that",
        ) from error


def _is_being_pulled(client: DaemonClient, name: str) -> bool:
    try:
        find_pull(client.pulls(), name, None, endpoint_of(os.environ))
    except LocalLLMError:
        return False
    return True


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
