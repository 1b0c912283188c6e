"""What is served because somebody asked for it: kept in order, and on disk for the next daemon."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from localllm.api.views import ServeRequest
from localllm.events import InstanceId, ModelId
from localllm.supervisor.remembered import Remembered, read_remembered, write_remembered
from localllm.versioned import NewerFile

_log = logging.getLogger(__name__)
Requests = dict[ModelId, ServeRequest]


@dataclass(frozen=True, slots=True)
class _Try:
    """What is to replace something, and may fail to."""

    model: ModelId
    request: ServeRequest
    replaces: frozenset[ModelId]


@dataclass(slots=True)
class Asks:
    """By model what was asked for, the latest last; and which of them nobody may stop for another.

    Args:
        file: Where it is kept. A disk that is full costs the memory of it, not what serves.
    """

    file: Path
    _asked: Requests = field(default_factory=dict[ModelId, ServeRequest])
    _tries: dict[InstanceId, _Try] = field(default_factory=dict[InstanceId, _Try])
    """On its way to replace what serves; until it is ready, that is what is remembered."""

    _passing: Requests = field(default_factory=dict[ModelId, ServeRequest])
    """What was loaded for a request, which will do so again if it comes again."""

    _pinned: set[ModelId] = field(default_factory=set[ModelId])

    def restore(self) -> Remembered:
        """Take over what an earlier daemon was asked for, all at once: planning it takes long.

        Each is kept under the name that it was asked for by until it is planned.
        """
        remembered = read_remembered(self.file)
        self._asked = {ModelId(r.model or ""): r for r in remembered.serving}
        self._pinned = {ModelId(model) for model in remembered.pinned}
        return remembered

    def find(self, model: ModelId) -> ServeRequest | None:
        return self._known().get(model)

    def model_of(self, request: ServeRequest) -> ModelId | None:
        """Find the model that was asked for in these very words."""
        return next((model for model, asked in self._known().items() if asked == request), None)

    def is_for_good(self, model: ModelId) -> bool:
        """Whether a person has asked for it."""
        return model in self._asked or any(t.model == model for t in self._tries.values())

    def add(self, model: ModelId, request: ServeRequest) -> None:
        """Remember the newest ask for a model, which replaces the others for it."""
        self._add(model, request)
        self.write()

    def try_(
        self,
        instance: InstanceId,
        model: ModelId,
        request: ServeRequest,
        replaces: Iterable[ModelId],
    ) -> None:
        """Remember it once its instance is ready, in the place of what it replaces."""
        others = {i: t for i, t in self._tries.items() if t.model != model}
        self._tries = {**others, instance: _Try(model, request, frozenset(replaces))}

    def succeeded(self, instance: InstanceId) -> None:
        """An instance is ready."""
        tried = self._tries.pop(instance, None)
        if tried is not None:
            for model in tried.replaces - self._pinned:
                self._asked.pop(model, None)
            self.add(tried.model, tried.request)

    def failed(self, instance: InstanceId) -> None:
        """An instance has given up: what it was to replace stays what was asked for."""
        self._tries.pop(instance, None)

    def add_passing(self, model: ModelId, request: ServeRequest) -> None:
        """Remember what a request has loaded, for as long as this daemon lives."""
        self._passing[model] = request

    def drop(self, model: ModelId) -> None:
        self._asked.pop(model, None)
        self._passing.pop(model, None)
        self._tries = {i: t for i, t in self._tries.items() if t.model != model}
        self._pinned.discard(model)
        self.write()

    def stands_in(self, guest: ModelId, model: ModelId, request: ServeRequest) -> None:
        """Remember what comes back in a guest's place, also where the daemon ends before that."""
        self.drop(guest)
        self.add(model, request)

    def clear(self) -> None:
        self._asked.clear()
        self._tries.clear()
        self._pinned.clear()
        self.write()

    @property
    def pinned(self) -> frozenset[ModelId]:
        return frozenset(self._pinned)

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
        except (OSError, NewerFile) as error:
            _log.warning("what is served is not remembered: %s", error)

    def _known(self) -> Requests:
        tried = {t.model: t.request for t in self._tries.values()}
        return {**self._passing, **self._asked, **tried}

    def _add(self, model: ModelId, request: ServeRequest) -> None:
        kept = {m: r for m, r in self._asked.items() if m != model and r.model != request.model}
        self._asked = {**kept, model: request}
        self._passing.pop(model, None)
