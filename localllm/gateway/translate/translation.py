"""The seam between an API and the engines' chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from localllm.errors import LocalLLMError
from localllm.gateway.translate.chunks import Chunk, Progress


class Answering(Protocol):
    """Writes one answer in its API's words while the engine streams it. Does no input or output.

    What the methods return are whole events for a client that streams; for one that does not, they
    are thrown away and `whole` has the answer.
    """

    def begin(self) -> bytes:
        """Open the answer: the first events, before anything is known of it. Called once."""
        ...

    def life(self, progress: Progress | None) -> bytes:
        """Show life while nothing comes, in a way that the API's clients count as life.

        Args:
            progress: How far the prompt is read; None where it is not known.
        """
        ...

    def feed(self, chunk: Chunk) -> bytes:
        """Go on; what the chunk's `prompt_progress` and `error` say is not for here."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether enough has been said, as after a stop sequence; the engine is to be stopped."""
        ...

    def end(self) -> bytes:
        """End well: the engine has said [DONE], or `is_complete`. Nothing follows."""
        ...

    def fail(self, error: LocalLLMError) -> bytes:
        """End with an error, in the way that the API's clients understand. Nothing follows."""
        ...

    def whole(self) -> Mapping[str, object]:
        """The answer as one document. Called after `end`."""
        ...


@dataclass(frozen=True, slots=True)
class Translated:
    """A request in the engines' words, and who writes its answer in the client's."""

    model: str | None
    """As the client named it."""

    is_stream: bool
    """Whether the client wants one; the engine is always asked to stream."""

    chat: dict[str, object]
    """The chat completion, with `stream`, `stream_options.include_usage`, `timings_per_token` and
    `return_progress` set: engines that do not know the last two pass over them."""

    answering: Answering
    removed: tuple[str, ...] = ()
    """What was left out of the prompt, by name."""
