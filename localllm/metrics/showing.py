"""From requests and captures to what the control API says of them. Pure."""

from __future__ import annotations

import msgspec

from localllm.api.recording_views import RecordingView
from localllm.api.request_views import (
    CaptureView,
    RequestDetailView,
    RequestsListView,
    RequestView,
)
from localllm.api.status_views import SavedView
from localllm.metrics.capture import Capturing
from localllm.metrics.live import Live
from localllm.metrics.recording_state import Recording
from localllm.metrics.requests import KEPT, Requests
from localllm.metrics.savings import Savings, day_of


def render_requests(requests: Requests, *, recent: int = KEPT) -> RequestsListView:
    """Show those under way, and the last that are over: `recent` of them at most."""
    now = requests.clock()
    return RequestsListView(
        live=[render_request(live, now) for live in requests.live()],
        recent=[render_request(live, now) for live in requests.recent()[:recent]],
        changes=requests.changes,
    )


def render_request(live: Live, now: float) -> RequestView:
    """Show one; `now` is on the clock of the requests."""
    return RequestView(
        id=live.id,
        api=live.api.value,
        asked=live.asked,
        model=live.model,
        instance=live.instance,
        engine=live.engine,
        client=live.caller.program,
        conversation=live.caller.conversation,
        key=live.caller.key_name,
        stream=live.stream,
        began_at=live.began_at,
        phase=live.phase.value,
        elapsed=live.took_s(now),
        wait=live.wait_s,
        prompt_tokens=live.prompt_tokens,
        cached_tokens=live.cached_tokens,
        prompt_read=live.prompt_read,
        generated_tokens=live.generated_tokens,
        reasoning_tokens=live.reasoning_tokens,
        first_token=live.to_first_token_s,
        decode_tps=live.decode_tps,
        longest_gap=live.longest_gap_s,
        status=live.status,
        error=live.error_code,
        prefix_broken=live.parting is not None,
    )


def render_detail(live: Live, now: float) -> RequestDetailView:
    """Show all of one, a few words of its prompt among it."""
    shown = msgspec.structs.asdict(render_request(live, now))
    return RequestDetailView(**shown, removed=list(live.removed), parting=live.parting)


def render_saved(savings: Savings, now: float) -> SavedView:
    """Show what warm prompts have spared today; `now` is in Unix seconds."""
    day = day_of(now)
    saved = savings.on(day)
    seconds = saved.seconds if saved.tokens else 0.0
    return SavedView(seconds=seconds, tokens=saved.tokens, day=day)


def render_capture(capturing: Capturing) -> CaptureView:
    """Show the capture that is under way, or was."""
    return CaptureView(
        client=capturing.client,
        folder=str(capturing.folder),
        redact_text=capturing.redact_text,
        ends_at=capturing.ends_at,
        requests=capturing.requests,
        bytes=capturing.bytes,
        left_out=capturing.left_out,
        over=capturing.over,
    )


def render_recording(recording: Recording, now: float) -> RecordingView:
    """Show the recording that is under way, or was; `now` is on the clock of the requests."""
    return RecordingView(
        file=str(recording.file),
        started=recording.started_at,
        ends=recording.ends_at,
        left=recording.left_s(now),
        client=recording.client,
        prompts=recording.prompts,
        requests=recording.requests,
        under_way=recording.under_way,
        bytes=recording.bytes,
        unmarked=recording.unmarked,
        left_out=recording.left_out,
        over=recording.over,
    )
