"""Runs in the child: one answer on its way from tokens to what a client reads, counted and timed."""

# mypy: disable-error-code="no-untyped-call"
# (mlx-lm leaves out most types)

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from mlx_lm.generate import TextStateMachine
from mlx_lm.server import Response

from localllm.engines.workers.answers import Counts, Delta, Document
from localllm.engines.workers.mlx.generation import Generation
from localllm.engines.workers.mlx.model import Model
from localllm.engines.workers.mlx.request import Chat, Request
from localllm.engines.workers.mlx.text import Sorter
from localllm.engines.workers.stops import Stops


class Telling:
    """One answer; `finish` and `counts` hold once all deltas were taken.

    Args:
        tools: Those that the model may call.
    """

    def __init__(
        self,
        model: Model,
        request: Request,
        generation: Generation,
        tools: list[Any] | None,
    ) -> None:
        self.request = request
        self.finish = "stop"
        self._model, self._generation = model, generation
        self._stops = Stops(request.stops)
        parse = partial(_parse_call, generation.context.tool_parser, tools)
        self._is_chat = isinstance(request, Chat)
        one_call = isinstance(request, Chat) and request.parallel_tool_calls is False
        self._sorter = Sorter(parse, one_call=one_call)
        self._tokens = 0
        self._lacks_space = False
        self._started = self._first = self._last = time.perf_counter()
        self._probabilities: list[Document] = []

    @property
    def counts(self) -> Counts:
        return Counts(
            prompt=len(self._generation.context.prompt),
            cached=max(self._generation.context.prompt_cache_count, 0),
            answer=self._tokens,
            prompt_s=self._first - self._started,
            answer_s=self._last - self._first,
        )

    def deltas(self) -> Iterator[Delta]:
        """Pass on what is said, as it comes."""
        state = self._machine()
        for response in self._generation:
            if self._is_chat and not self._tokens:
                yield {"role": "assistant", "content": None}
            self._count(response)
            state, pieces = TextStateMachine.split(state, self._text(response))
            yield from self._sorter.take(pieces)
            if response.finish_reason or self._stops.found or self._sorter.is_over:
                self.finish = response.finish_reason or "stop"
                break
        _, held, where = TextStateMachine.flush(state)
        yield from self._sorter.take([(where, held)])
        yield from self._sorter.end()
        self._conclude()

    def take_probabilities(self) -> list[Document]:
        """Return those of the tokens since the last call."""
        taken, self._probabilities = self._probabilities, []
        return taken

    def _machine(self) -> Any:  # noqa: ANN401
        """Watch for markup in chats; a text is passed on as it is."""
        context = self._generation.context
        if self._is_chat:
            return context.text_sm.make_state(context.initial_state)
        return TextStateMachine().make_state()

    def _text(self, response: Response) -> str:
        text = self._stops.take(self._with_first_space(response.text))
        return text + self._stops.rest() if response.finish_reason else text

    def _with_first_space(self, text: str) -> str:
        """Give a completed text the space back that mlx-lm takes from every answer's beginning."""
        if self._lacks_space and text:
            self._lacks_space = False
            return text if text.startswith(" ") else f" {text}"
        return text

    def _count(self, response: Response) -> None:
        self._last = time.perf_counter()
        if self._tokens == 0:
            self._first = self._last
            self._lacks_space = not self._is_chat and self._model.begins_word(response.token)
        self._tokens += 1
        if self.request.alternatives is not None:
            self._probabilities.append(self._probability(response))

    def _probability(self, response: Response) -> Document:
        others = [self._token(o["id"], o["logprob"]) for o in response.top_tokens]
        return {**self._token(response.token, response.logprob), "top_logprobs": others}

    def _token(self, token: int, logprob: float) -> Document:
        text = self._model.token_text(token)
        return {"id": token, "token": text, "bytes": list(text.encode()), "logprob": logprob}

    def _conclude(self) -> None:
        if self._stops.found:
            self.finish = "stop"
        elif self._sorter.calls and self.finish == "stop":
            self.finish = "tool_calls"


def _parse_call(parser: Any, tools: list[Any] | None, text: str) -> Any:  # noqa: ANN401
    return parser(text, tools)
