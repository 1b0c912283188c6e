"""Ends a pull that has not ended, and has what came of it in part removed: the daemon does both."""

from __future__ import annotations

import os

from localllm.api.pull_views import PullRequest, PullView
from localllm.api.sync_client import connect
from localllm.cli.pulling import a_desk, title
from localllm.cli.unfinished import find_pull
from localllm.errors import NotRunning
from localllm.paths import Paths
from localllm.store.access import endpoint_of


def cancel_pull(paths: Paths, request: PullRequest) -> PullView:
    """Cancel the pull of a model.

    Raises:
        NotRunning: Only a daemon knows of pulls.
        ModelNotFound: None that has not ended is meant, or several are.
    """
    client = connect(paths.daemon_file)
    if client is None:
        raise NotRunning(
            "No daemon is running, so no pull can be cancelled.",
            why="one without a daemon ends with its command, and what has come of it is kept",
            fix="localllm gc, which removes half files a day after they were last written to",
        )
    desk = a_desk(paths, offline=True)
    asked, _ = desk.resolved(request)
    profile = desk.profile(asked.model)
    model = (asked.model or "") if profile is None else profile.id
    hub = endpoint_of(os.environ)
    return client.cancel_pull(find_pull(client.pulls(), model, asked.quant, hub).id)


def render_cancelled(pull: PullView) -> list[str]:
    """Say what came of it: it may have ended by itself meanwhile."""
    name = title(pull.model, pull.quant)
    if pull.state == "done" and pull.then is None:
        return [f"all of {name} was here already: it stays, and is not served for having come"]
    if pull.state != "cancelled":
        return [f"the pull of {name} had ended already: it is {pull.state}"]
    return [f"the pull of {name} is cancelled, and its half files are removed"]
