"""What the daemon serves, as an agent's settings need to know it."""

from __future__ import annotations

from localllm.agents.asking import fetch_listing
from localllm.agents.connection import Connection
from localllm.api.connections import connection_of
from localllm.api.sync_client import not_running, require_daemon
from localllm.paths import Paths


def read_connection(paths: Paths, model: str | None) -> Connection:
    """Ask the daemon what it serves, and the endpoint whether it wants a key.

    Where it does, the daemon's token lists the models: the user's key may be for some, or not set.

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
        known = fetch_listing(base, client.daemon.token) if listing is None else listing
    except OSError as error:
        raise not_running(str(error)) from error
    return connection_of(base, models, known or (), model, needs_key=listing is None)
