"""Has one answer come, in a thread that the screen may end at any moment."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing

from localllm.api.chat_stream import Broken, Cut, Piece, Said, Thought, parse_line
from localllm.errors import EngineGone, LocalLLMError
from localllm.tui.chat_stream import Measured
from localllm.tui.reading import Reading
from localllm.tui.source import Source


class Chatting:
    """One answer: `work` fills it in its thread, the screen takes what is there.

    Args:
        body: The request.
    """

    def __init__(self, body: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._body, self._clock = body, clock
        self._pieces: deque[Piece] = deque()
        self._reading = Reading()
        self.measured = Measured(clock())
        self.is_done = False
        """The thread has ended; there may be pieces left."""

        self.error: LocalLLMError | None = None

    @property
    def was_stopped(self) -> bool:
        return self._reading.is_over

    def stop(self) -> None:
        """Close the connection, at which the engine stops, too."""
        self._reading.end()

    def work(self, source: Source) -> None:
        """Read until it ends, breaks or is stopped."""
        try:
            client = self._reading.begin(source.client())
            with closing(client.chat(self._body)) as lines:  # type: ignore[type-var]
                for line in lines:
                    for piece in parse_line(line):
                        self._see(piece)
        except LocalLLMError as error:
            self.error = None if self.was_stopped else error
        finally:
            self.is_done = True

    def take(self) -> tuple[str, str]:
        """What has come since the last time: said and thought."""
        said, thought = list[str](), list[str]()
        while self._pieces:
            match self._pieces.popleft():
                case Said(text):
                    said.append(text)
                case Thought(text):
                    thought.append(text)
                case _:
                    pass
        return "".join(said), "".join(thought)

    def _see(self, piece: Piece) -> None:
        if isinstance(piece, Broken):
            what, _, why = piece.what.partition("\n")
            why = why.strip() or "the engine said no more"
            raise EngineGone(what, why=why, fix="localllm logs")
        self.measured.see(piece, self._clock())
        if not isinstance(piece, Cut):
            self._pieces.append(piece)
