"""Runs in the child: answers chats and texts from one model, and saves and restores, one after the other."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from localllm.engines.workers.answers import Counts, Documents
from localllm.engines.workers.http import WorkerHandler, WorkerServer, too_long
from localllm.engines.workers.llama_cpp_python.model import Gone, Model
from localllm.engines.workers.llama_cpp_python.request import Chat, Request, Text, checked
from localllm.engines.workers.llama_cpp_python.slot import Slot
from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings
from localllm.engines.workers.scores import SCORE_PATH
from localllm.engines.workers.slot_requests import Action, SlotRequest, slot_request
from localllm.engines.workers.stops import Stops
from localllm.engines.workers.tokens import TEMPLATE_PATH, TOKEN_PATHS, tokens_document

_KINDS: dict[str, type[Request]] = {"/v1/chat/completions": Chat, "/v1/completions": Text}
_LOOK_S = 0.25
"""How often those that wait look whether their client still does."""


def serve(settings: WorkerSettings) -> None:
    """Load the model, then answer until the process is ended."""
    model = Model(settings)
    _Server(settings, model).serve_forever()


class Turns:
    """One at a time, in the order of arrival."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._moved = threading.Condition()

    @contextlib.contextmanager
    def turn(self, gone: Gone) -> Iterator[None]:
        """Wait for the turn, and keep it for the length of the block.

        Raises:
            ConnectionAbortedError: The client has gone meanwhile; its place is free again.
        """
        place = object()
        with self._moved:
            self._waiting.append(place)
        try:
            self._wait(place, gone)
            yield
        finally:
            with self._moved:
                self._waiting.remove(place)
                self._moved.notify_all()

    def _wait(self, place: object, gone: Gone) -> None:
        with self._moved:
            while self._waiting[0] is not place:
                self._moved.wait(_LOOK_S)
                if gone():
                    raise ConnectionAbortedError


class _Server(WorkerServer):
    def __init__(self, settings: WorkerSettings, model: Model) -> None:
        self.model, self.alias, self.turns = model, settings.alias, Turns()
        super().__init__(settings.listening, _Handler)


class _Handler(WorkerHandler):
    server: _Server

    def answer(self, path: str, body: dict[str, Any]) -> None:
        if path in _KINDS:
            self._generate(path, body)
        elif path in TOKEN_PATHS:
            self.send_document(tokens_document(path, body, self.server.model))
        elif path == TEMPLATE_PATH:
            self.send_document({"prompt": self.server.model.prompt_text(checked(body, Chat))})
        elif path == SCORE_PATH:
            with self.server.turns.turn(self.client_has_gone):
                scores = self.server.model.scores(body, self.client_has_gone)
            self.send_document({"scores": scores})
        elif (asked := slot_request(path, body, 1)) is not None:
            self._do_with_slot(asked)
        else:
            super().answer(path, body)  # which refuses

    def _generate(self, path: str, body: dict[str, Any]) -> None:
        model = self.server.model
        request = checked(body, _KINDS[path])
        answer = Answer(model, request, self.client_has_gone)
        is_chat = isinstance(request, Chat)
        documents = Documents(self.server.alias, model.fingerprint, int(time.time()), is_chat)
        with self.server.turns.turn(self.client_has_gone), closing(answer.texts()) as texts:
            if request.stream:
                self._stream(answer, texts, documents)
            else:
                deltas = [{"content": text} for text in texts]
                self.send_document(documents.whole(deltas, answer.finish, answer.counts))

    def _do_with_slot(self, asked: SlotRequest) -> None:
        with self.server.turns.turn(self.client_has_gone):
            done = _done(self.server.model.slot, asked.action, asked.file)
        self.send_document({"id_slot": asked.slot, **done})

    def _stream(self, answer: Answer, texts: Iterator[str], documents: Documents) -> None:
        first = next(texts, "")  # what fails before it is told by the status
        if documents.is_chat:
            self.send_event(documents.event({"role": "assistant", "content": None}))
        for text in itertools.chain([first], texts):
            timed = {"timings": answer.counts.timings} if answer.request.timings_per_token else {}
            self.send_event({**documents.event({"content": text}), **timed})
        last = documents.event({}, answer.finish)
        if answer.request.wants_usage:
            self.send_event(last)
            last = documents.usage(answer.counts)
        self.send_event({**last, "timings": answer.counts.timings})
        self.end_stream()


class Answer:
    """One answer on its way from a request to text; counts and times it.

    Raises:
        Refusal: The request cannot be answered.
    """

    def __init__(self, model: Model, request: Request, gone: Gone) -> None:
        self.request = request
        self.finish = "length"
        self._model, self._gone = model, gone
        self._prompt = model.prompt_of(request)
        if len(self._prompt) >= model.context:
            raise too_long(len(self._prompt), model.context)
        self._stops = Stops(request.stops)
        self._cached = self._tokens = 0
        self._begun = self._first = self._last = 0.0

    @property
    def counts(self) -> Counts:
        return Counts(
            prompt=len(self._prompt),
            cached=self._cached,
            answer=self._tokens,
            prompt_s=self._first - self._begun,
            answer_s=self._last - self._first,
        )

    def texts(self) -> Generator[str]:
        """Generate; `finish` and `counts` hold afterwards.

        Raises:
            ConnectionAbortedError: The client has gone.
            Refusal: There is no such grammar.
        """
        self._begun = time.perf_counter()
        grammar = self._model.grammar_of(self.request)
        cached = self.request.cache_prompt is not False
        self._cached = self._model.read(self._prompt, cached=cached, gone=self._gone)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self._some_tokens(grammar):
            if self._model.ends(token):
                self.finish = "stop"
                break
            yield from _if_any(self._stops.take(decoder.decode(self._model.bytes_of(token))))
            if self._stops.found:
                break
        yield from _if_any(self._stops.take(decoder.decode(b"", final=True)) + self._stops.rest())
        if self._stops.found:
            self.finish = "stop"

    def _some_tokens(self, grammar: Any) -> Iterator[int]:  # noqa: ANN401
        """Generate as many as are wanted and the context has place for."""
        left = self._model.context - len(self._prompt)
        most = left if self.request.most_tokens is None else min(left, self.request.most_tokens)
        with closing(self._model.tokens(self._prompt, self.request, grammar)) as tokens:
            for token in itertools.islice(tokens, most):
                self._count()
                yield token
                if self._gone():
                    raise ConnectionAbortedError

    def _count(self) -> None:
        self._last = time.perf_counter()
        self._first = self._last if self._tokens == 0 else self._first
        self._tokens += 1


def _done(slot: Slot, action: Action, name: str) -> dict[str, Any]:
    """Do it, and tell of it as llama.cpp's server does."""
    match action:
        case Action.SAVE:
            moved = slot.save(name)
            return {"filename": name, "n_saved": moved.tokens, "n_written": moved.size_bytes}
        case Action.RESTORE:
            moved = slot.restore(name)
            return {"filename": name, "n_restored": moved.tokens, "n_read": moved.size_bytes}
        case Action.ERASE:
            return {"n_erased": slot.erase()}


def _if_any(text: str) -> Iterator[str]:
    if text:
        yield text
