"""Writes one request into its recording. Runs in a thread, one request after the other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from localllm.metrics.live import WRITES
from localllm.metrics.recording_file import append
from localllm.metrics.recording_shape import Prompt, shape_of, with_body
from localllm.metrics.recording_state import Followed, RecordingBounds


def write(followed: Followed, tokens: Sequence[int] | None, bounds: RecordingBounds) -> None:
    """Write a request that is over.

    Args:
        tokens: Of its prompt; None: nobody can tell.

    Raises:
        OSError: The disk does not take it.
    """
    recording, body = followed.recording, followed.body
    request = recording.requests + recording.left_out + 1
    shape = shape_of(
        followed.live,
        None if body is None else _prompt(followed, body, tokens, request),
        request=request,
        began=recording.began,
        conversation=recording.conversations.number(followed.live),
    )
    if recording.prompts and body is not None:
        shape = with_body(shape, body)
    line = msgspec.json.encode(shape) + b"\n"
    if recording.bytes + len(line) > bounds.bytes:
        recording.left_out += 1
        recording.end("it has as many bytes as it may")
        return
    append(recording.file, line)
    recording.requests += 1
    recording.bytes += len(line)
    if followed.live.api in WRITES and shape.input_length is not None:
        recording.unmarked += shape.hash_ids is None
    if recording.blocks is not None and recording.blocks.is_full:
        recording.end("it has as many different prompts as it may")


def _prompt(followed: Followed, body: bytes, tokens: Sequence[int] | None, request: int) -> Prompt:
    blocks = followed.recording.blocks
    if tokens is None or blocks is None:
        return Prompt(body)
    return Prompt(body, tokens, blocks.mark(request, followed.live.model or "", tokens))
