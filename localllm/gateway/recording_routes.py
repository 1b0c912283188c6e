"""The recording of request shapes, as the control API has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from localllm.api.recording_views import RecordingRequest, RecordingView
from localllm.errors import LocalLLMError, NotFound
from localllm.gateway.api_routes import ApiRoute, plain, with_body
from localllm.gateway.openapi import Operation
from localllm.metrics.recording import Recordings
from localllm.metrics.recording_state import Recording
from localllm.metrics.showing import render_recording
from localllm.supervisor.operations import Operations

_PATH = "/api/v1/recording"


@dataclass(frozen=True, slots=True)
class RecordingRoutes:
    """Calls of /api/v1/recording."""

    recordings: Recordings
    operations: Operations

    def table(self) -> Sequence[ApiRoute]:
        return [
            plain(
                Operation("GET", _PATH, "The recording under way, or the last one.", (NotFound,)),
                RecordingView,
                self.show,
            ),
            with_body(
                Operation(
                    "POST", _PATH, "Keep the shapes of requests, to replay them.", status=202
                ),
                RecordingRequest,
                RecordingView,
                self.start,
            ),
            plain(
                Operation("DELETE", _PATH, "End the recording.", (NotFound,)),
                RecordingView,
                self.stop,
            ),
        ]

    async def show(self, _request: web.Request) -> RecordingView:
        return _shown(self.recordings, self.recordings.last())

    async def start(self, _request: web.Request, wanted: RecordingRequest) -> RecordingView:
        served = next((one for one in self.operations.models() if one.current), None)
        model, context = (None, None) if served is None else (served.id, served.context)
        try:
            begun = await self.recordings.start(wanted, model, context)
        except OSError as error:
            raise LocalLLMError(
                "Nothing can be recorded.",
                why=f"the file cannot be written: {error.strerror or error}",
                fix="make room on the disk of the state folder: localllm gc",
            ) from error
        return render_recording(begun, self.recordings.clock())

    async def stop(self, _request: web.Request) -> RecordingView:
        return _shown(self.recordings, await self.recordings.stop())


def recording_under_way(recordings: Recordings) -> RecordingView | None:
    """Show the recording, if one goes on."""
    last = recordings.last()
    return _shown(recordings, last) if last is not None and last.is_on else None


def _shown(recordings: Recordings, recording: Recording | None) -> RecordingView:
    if recording is None:
        raise NotFound(
            "There was no recording.",
            why="none has been started since the daemon runs",
            fix="localllm record on starts one",
        )
    return render_recording(recording, recordings.clock())
