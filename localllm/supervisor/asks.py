"""What is served because somebody asked for it: kept in order, and on disk for the next daemon."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from localllm.api.views import ServeRequest
from localllm.events import ModelId
from localllm.supervisor.remembered import Remembered, read_remembered, write_remembered

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Asks:
    """By model what was asked for, the latest last; and which of them nobody may stop for another.

    Args:
        file: Where it is kept. A disk that is full costs the memory of it, not what serves.
    """

    file: Path
    _asked: dict[ModelId, ServeRequest] = field(default_factory=dict[ModelId, ServeRequest])
    _passing: dict[ModelId, ServeRequest] = field(default_factory=dict[ModelId, ServeRequest])
    """By model what was loaded for a request, which will do so again if it comes again."""

    _pinned: set[ModelId] = field(default_factory=set[ModelId])

    def read(self) -> Remembered:
        """Read what an earlier daemon was asked for; what is here stays as it is."""
        return read_remembered(self.file)

    def find(self, model: ModelId) -> ServeRequest | None:
        return self._asked.get(model) or self._passing.get(model)

    def is_for_good(self, model: ModelId) -> bool:
        """Whether a person has asked for it."""
        return model in self._asked

    def model_of(self, request: ServeRequest) -> ModelId | None:
        """Find the model that was asked for in these very words."""
        return next((model for model, asked in self._asked.items() if asked == request), None)

    def add(self, model: ModelId, request: ServeRequest) -> None:
        """Remember the newest ask for a model, which replaces the others for it."""
        kept = {m: r for m, r in self._asked.items() if m != model and r.model != request.model}
        self._asked = {**kept, model: request}
        self._passing.pop(model, None)
        self.write()

    def add_passing(self, model: ModelId, request: ServeRequest) -> None:
        """Remember what a request has loaded, for as long as this daemon lives."""
        self._passing[model] = request

    def drop(self, model: ModelId) -> None:
        self._asked.pop(model, None)
        self._passing.pop(model, None)
        self._pinned.discard(model)
        self.write()

    def clear(self) -> None:
        self._asked.clear()
        self._pinned.clear()
        self.write()

    def is_pinned(self, model: ModelId) -> bool:
        return model in self._pinned

    def pin(self, model: ModelId, *, pinned: bool) -> None:
        if pinned:
            self._pinned.add(model)
        else:
            self._pinned.discard(model)
        self.write()

    def write(self) -> None:
        try:
            write_remembered(
                self.file, Remembered(tuple(self._asked.values()), tuple(sorted(self._pinned)))
            )
        except OSError as error:
            _log.warning("what is served is not remembered: %s", error)
