"""Asks the daemon for its recording."""

from __future__ import annotations

from localllm.api.recording_views import RecordingRequest, RecordingView
from localllm.api.sync_client import DaemonClient
from localllm.errors import NotFound

_PATH = "/api/v1/recording"


def fetch_recording(client: DaemonClient) -> RecordingView | None:
    """The recording under way, or the last one; None: there was none since the daemon's start."""
    try:
        return client.ask("GET", _PATH, RecordingView)
    except NotFound:
        return None


def start_recording(client: DaemonClient, wanted: RecordingRequest) -> RecordingView:
    """Have the shapes of requests kept."""
    return client.ask("POST", _PATH, RecordingView, wanted)


def stop_recording(client: DaemonClient) -> RecordingView:
    """End the recording.

    Raises:
        NotFound: There was none.
    """
    return client.ask("DELETE", _PATH, RecordingView)
