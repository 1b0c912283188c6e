"""Runs in the child: answers chats and texts from one mlx model, streamed or not."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

from localllm.engines.workers.answers import Documents
from localllm.engines.workers.http import WorkerHandler, WorkerServer
from localllm.engines.workers.mlx.memory import log_load, plan_limits, set_limits
from localllm.engines.workers.mlx.model import FINGERPRINT, Model, tools_of
from localllm.engines.workers.mlx.request import Chat, Request, Text, checked
from localllm.engines.workers.mlx.telling import Telling
from localllm.engines.workers.mlx.worker import WorkerSettings
from localllm.engines.workers.scores import SCORE_PATH
from localllm.engines.workers.slot_requests import slot_request
from localllm.engines.workers.tokens import TEMPLATE_PATH, TOKEN_PATHS, tokens_document

_KINDS: dict[str, type[Request]] = {"/v1/chat/completions": Chat, "/v1/completions": Text}


def serve(settings: WorkerSettings) -> None:
    """Load the model, then answer until the process is ended, or the model can no more."""
    limits = plan_limits(settings)
    set_limits(limits)
    model = Model(settings, limits)
    log_load(settings)
    server = _Server(settings, model)
    Thread(target=server.serve_forever, daemon=True).start()
    model.join()
    raise SystemExit("the thread that generates has died, see above")


class _Server(WorkerServer):
    def __init__(self, settings: WorkerSettings, model: Model) -> None:
        self.model, self.alias, self.slots = model, settings.alias, settings.parallel
        super().__init__(settings.listening, _Handler)


class _Handler(WorkerHandler):
    server: _Server

    def answer(self, path: str, body: dict[str, Any]) -> None:
        if path in _KINDS:
            self._generate(path, body)
        elif path in TOKEN_PATHS:
            self.send_document(tokens_document(path, body, self.server.model))
        elif path == TEMPLATE_PATH:
            model = self.server.model
            chat = checked(body, Chat, model.abilities)
            assert isinstance(chat, Chat), "it was asked for"
            self.send_document({"prompt": model.prompt_text(chat, body)})
        elif path == SCORE_PATH:
            self.send_document({"scores": self.server.model.scores(body, self._require_client)})
        elif (asked := slot_request(path, body, self.server.slots)) is not None:
            self.send_document(self.server.model.slot_files.answer(asked, self._require_client))
        else:
            super().answer(path, body)  # which refuses

    def _generate(self, path: str, body: dict[str, Any]) -> None:
        model = self.server.model
        request = checked(body, _KINDS[path], model.abilities)
        generation = model.start(request, body, self._require_client)
        documents = Documents(
            self.server.alias, FINGERPRINT, int(time.time()), isinstance(request, Chat)
        )
        told = Telling(model, request, generation, tools_of(request, body))
        try:
            if request.stream:
                self._stream(told, documents)
            else:
                said = list(told.deltas())
                whole = documents.whole(said, told.finish, told.counts, told.take_probabilities())
                self.send_document(whole)
        finally:
            generation.stop()

    def _stream(self, told: Telling, documents: Documents) -> None:
        for delta in told.deltas():
            event = documents.event(delta, None, told.take_probabilities())
            timed = {"timings": told.counts.timings} if told.request.timings_per_token else {}
            self.send_event({**event, **timed})
        last = documents.event({}, told.finish, told.take_probabilities())
        if told.request.wants_usage:
            self.send_event(last)
            last = documents.usage(told.counts)
        self.send_event({**last, "timings": told.counts.timings})
        self.end_stream()

    def _require_client(self) -> None:
        if self.client_has_gone():
            raise ConnectionAbortedError
