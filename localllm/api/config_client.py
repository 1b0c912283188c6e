"""Asks the daemon for its settings."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from localllm.api.config_views import ConfigQuery, ConfigView, ReloadView
from localllm.api.sync_client import DaemonClient


def fetch_config(client: DaemonClient, wanted: ConfigQuery) -> ConfigView:
    """The settings as the daemon has them, and where each came from."""
    said = {k: v for k, v in msgspec.structs.asdict(wanted).items() if v is not None}
    return client.ask("GET", f"/api/v1/config?{urlencode(said)}", ConfigView)


def reload_config(client: DaemonClient) -> ReloadView:
    """Have the settings read again."""
    return client.ask("POST", "/api/v1/config/reload", ReloadView)
