"""What the daemon serves, as an agent's settings need to know it."""

from __future__ import annotations

from collections.abc import Mapping

from localllm.agents.asking import fetch_listing
from localllm.agents.connection import KEY_VARIABLE, Connection
from localllm.api.connections import connection_of
from localllm.api.sync_client import not_running, require_daemon
from localllm.paths import Paths


def read_connection(paths: Paths, model: str | None, environment: Mapping[str, str]) -> Connection:
    """Ask the daemon what it serves, and the endpoint whether it wants a key.

    Args:
        model: The one to connect to; None for the one that requests without a name mean.

    Raises:
        NotRunning: No daemon answers.
        ModelNotFound: It serves no such model, or none.
    """
    client = require_daemon(paths.daemon_file)
    models = client.models()
    base = client.daemon.endpoint
    try:
        listing = fetch_listing(base, None)
        known = (
            listing if listing is not None else fetch_listing(base, environment.get(KEY_VARIABLE))
        )
    except OSError as error:
        raise not_running(str(error)) from error
    return connection_of(base, models, known or (), model, needs_key=listing is None)
