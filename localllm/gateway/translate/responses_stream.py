"""Writes a response while the engine streams it. Pure.

What Codex and Copilot must see to finish a turn, tried with them: the end of every item with its
id, all of the output once more at the end, a usage without gaps, and no error but a failed response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from localllm.errors import ContextTooLong, LocalLLMError
from localllm.gateway.translate.chunks import CallPart, Choice, Chunk, Progress, Timings, Usage
from localllm.gateway.translate.responses_body import Object
from localllm.gateway.translate.responses_document import usage_document
from localllm.gateway.translate.responses_output import (
    CustomCall,
    FunctionCall,
    Item,
    PartKind,
    Place,
    Script,
    Spoken,
    Status,
)
from localllm.gateway.translate.responses_tools import Toolbox

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of a chat completion that end a response before its end, and their names there."""

_PASSING = frozenset({429, 503})
_AGAIN = "Please try again in 5s."
"""Codex reads the time out of these words, and waits for it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer must know of its request.

    Args:
        document: The response, before anything is said.
        is_sealed: Whether reasoning is given once more as `encrypted_content`.
        new_id: Makes an id that begins with the given prefix.
        now: The time, in seconds since 1970.
        keep: Told the items of an answer that has ended well.
    """

    document: Object
    tools: Toolbox
    is_sealed: bool
    new_id: Callable[[str], str]
    now: Callable[[], float]
    keep: Callable[[list[Object]], None]


@dataclass(slots=True)
class _Call:
    """A call whose pieces come. Mutable; it is no item before its name is known."""

    id: str | None
    held: str = ""
    item: FunctionCall | CustomCall | None = None


class ResponseAnswer:
    """Writes one response. Mutable; the contract is that of `Answering`."""

    def __init__(self, asked: Answered) -> None:
        self._asked = asked
        self._opening = msgspec.Raw(msgspec.json.encode(asked.document))
        self._forget()

    def _forget(self) -> None:
        self._script = Script()
        self._items: list[Item] = []
        self._open: list[Item] = []
        self._calls: dict[int, _Call] = {}
        self._call_ids: set[str] = set()
        self._spoken: Spoken | None = None
        self._blank: tuple[PartKind, str] = ("output_text", "")
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._timings: Timings | None = None
        self._thought_tokens = 0
        self._whole: Object = self._asked.document

    def begin(self) -> bytes:
        """Open the response; one that broke off before its client saw any of it may begin anew."""
        self._forget()
        return self._script.write("response.created", response=self._opening) + self.life(None)

    def life(self, progress: Progress | None) -> bytes:
        """Say once more that the response is in progress.

        Codex counts every event with a type as life, and comments not; the SDK takes this one
        anywhere after the first. `prompt_progress` is ours, for those who know it.
        """
        shown = {} if progress is None else {"prompt_progress": progress}
        return self._script.write("response.in_progress", response=self._opening, **shown)

    @property
    def is_complete(self) -> bool:
        return False

    def feed(self, chunk: Chunk) -> bytes:
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings
        return b"".join(self._said(choice) for choice in chunk.choices if choice.index == 0)

    def _said(self, choice: Choice) -> bytes:
        delta = choice.delta
        self._finish = choice.finish_reason or self._finish
        said = b""
        if delta.thought:
            self._thought_tokens = self._timings.predicted_n if self._timings else 0
            said += self._speak("reasoning_text", delta.thought)
        if delta.content:
            said += self._speak("output_text", delta.content)
        if delta.refusal:
            said += self._speak("refusal", delta.refusal)
        for piece in delta.tool_calls or ():
            said += self._call(piece)
        return said

    def _speak(self, kind: PartKind, text: str) -> bytes:
        """Write text, in an item of its own unless one for it is open.

        Blank text opens none: engines send some between a thought and a call, and agents would
        show an empty message. It is said with the text that follows.
        """
        is_reasoning = kind == "reasoning_text"
        if self._spoken is not None and self._spoken.is_reasoning == is_reasoning:
            return self._spoken.say(kind, text)
        held = self._blank[1] if self._blank[0] == kind else ""
        if text.isspace():
            self._blank = kind, held + text
            return b""
        self._blank = kind, ""
        closed = self._close_all("completed")
        sealed = is_reasoning and self._asked.is_sealed
        place = self._place("rs_" if is_reasoning else "msg_")
        self._spoken = Spoken(place, is_reasoning=is_reasoning, is_sealed=sealed)
        return closed + self._open_item(self._spoken) + self._spoken.say(kind, held + text)

    def _call(self, piece: CallPart) -> bytes:
        """Write a piece of a call.

        Calls stay open until something else begins, as their pieces may come in turns. Some
        engines number all of them 0: then another id is another call.
        """
        name = piece.function.name
        call = self._calls.get(piece.index)
        if call is None or (name and piece.id and call.id and piece.id != call.id):
            call = self._calls[piece.index] = _Call(piece.id)
        call.id = call.id or piece.id
        arguments = piece.function.arguments or ""
        if call.item is not None:
            return call.item.add(arguments)
        call.held += arguments
        return self._begin_call(call, name) if name else b""

    def _begin_call(self, call: _Call, name: str) -> bytes:
        closed = b"" if self._spoken is None else self._close_all("completed")
        origin = self._asked.tools.origin(name)
        if call.id is None or call.id in self._call_ids:  # clients tell calls apart by it
            call.id = self._asked.new_id("call_")
        self._call_ids.add(call.id)
        call_id = call.id
        if origin.is_custom:
            call.item = CustomCall(self._place("ctc_"), origin, call_id)
        else:
            call.item = FunctionCall(self._place("fc_"), origin, call_id)
        return closed + self._open_item(call.item) + call.item.add(call.held)

    def _place(self, prefix: str) -> Place:
        return Place(self._script, len(self._items), self._asked.new_id(prefix))

    def _open_item(self, item: Item) -> bytes:
        self._items.append(item)
        self._open.append(item)
        return item.open()

    def _close_all(self, last: Status) -> bytes:
        """End what is open, the last of it as given: what is before that was complete."""
        closed = b"".join(item.close("completed") for item in self._open[:-1])
        closed += b"".join(item.close(last) for item in self._open[-1:])
        self._open, self._spoken = [], None
        self._calls = {i: call for i, call in self._calls.items() if call.item is None}
        return closed

    def end(self) -> bytes:
        cut = _CUT.get(self._finish or "")
        status: Status = "incomplete" if cut else "completed"
        closed = self._close_all(status)
        self._whole = self._ended(status) | {
            "completed_at": None if cut else int(self._asked.now()),
            "incomplete_details": {"reason": cut} if cut else None,
        }
        self._asked.keep([item.document for item in self._items])
        return closed + self._script.write(f"response.{status}", response=self._whole)

    def fail(self, error: LocalLLMError) -> bytes:
        """End with a failed response; what was not complete is in none of its items."""
        self._whole = self._ended("failed") | {"error": _error(error)}
        return self._script.write("response.failed", response=self._whole)

    def _ended(self, status: str) -> Object:
        usage = usage_document(self._usage, self._timings, self._thought_tokens)
        output = [item.document for item in self._items if item not in self._open]
        return self._asked.document | {"status": status, "output": output, "usage": usage}

    def whole(self) -> Mapping[str, object]:
        return self._whole


def _error(error: LocalLLMError) -> Object:
    """Say an error so that Codex sends again what may succeed, after a while, and nothing else.

    It gives up at once at `context_length_exceeded` and `invalid_prompt`, of which it shows the
    message, and sends again at all that it does not know.
    """
    if isinstance(error, ContextTooLong):
        return {"code": error.code, "message": str(error)}
    if not error.retryable:
        return {"code": "invalid_prompt", "message": str(error)}
    if error.http_status in _PASSING:
        return {"code": "rate_limit_exceeded", "message": f"{error}\n{_AGAIN}"}
    return {"code": "server_error", "message": str(error)}
