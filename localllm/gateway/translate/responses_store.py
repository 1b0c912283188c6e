"""What earlier responses said, for requests that go on from them. Pure; in memory alone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from localllm.errors import BadRequest
from localllm.gateway.translate.responses_body import Object

_MOST_RESPONSES = 512
_MOST_BYTES = 64 << 20
_OVERHEAD_BYTES = 200
"""Of an item, beside its JSON."""


class PreviousResponseNotFound(BadRequest):
    """The conversation is not kept here, or no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """One item, as JSON; responses of one conversation share it. Told apart by identity."""

    id: str | None
    json: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.json) + _OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Conversation:
    """The items of a conversation up to some response."""

    kept: tuple[_Kept, ...] = ()

    def items(self) -> list[Object]:
        return [msgspec.json.decode(kept.json) for kept in self.kept]

    def continued(self, items: Iterable[Object]) -> Conversation:
        return Conversation((*self.kept, *map(_keep, items)))


def _keep(item: Object) -> _Kept:
    name = item.get("id")
    return _Kept(name if isinstance(name, str) else None, msgspec.json.encode(item))


class Earlier(Protocol):
    """What one client may go on from."""

    def conversation(self, response_id: str) -> Conversation:
        """Find a conversation.

        Raises:
            PreviousResponseNotFound: It is unknown, another client's, or has had to go.
        """
        ...

    def item(self, item_id: str) -> Object | None:
        """Find an item of any conversation; None where there is none."""
        ...

    def keep(self, response_id: str, conversation: Conversation) -> None: ...


class ResponseStore:
    """Keeps conversations, the latest used of them, within two bounds. Mutable.

    One that alone is larger than the bound is not kept. Each client finds its own only.
    """

    def __init__(
        self, *, most_responses: int = _MOST_RESPONSES, most_bytes: int = _MOST_BYTES
    ) -> None:
        self.most_responses = most_responses
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._found: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._uses: Counter[_Kept] = Counter()
        self._items: dict[tuple[str, str], _Kept] = {}

    def of(self, client: str) -> Earlier:
        """Show what `client` may see: who it is by its key, since a conversation is no secret."""
        return _Own(self, client)

    def __len__(self) -> int:
        return len(self._found)

    def find(self, client: str, response_id: str) -> Conversation | None:
        found = self._found.get((client, response_id))
        if found is not None:
            self._found.move_to_end((client, response_id))
        return found

    def find_item(self, client: str, item_id: str) -> _Kept | None:
        return self._items.get((client, item_id))

    def keep(self, client: str, response_id: str, conversation: Conversation) -> None:
        """Keep a conversation; the least lately used ones go where it is too much."""
        if sum(kept.size_bytes for kept in conversation.kept) > self.most_bytes:
            return
        self._forget((client, response_id))
        self._found[client, response_id] = conversation
        for kept in conversation.kept:
            self.held_bytes += 0 if self._uses[kept] else kept.size_bytes
            self._uses[kept] += 1
            if kept.id is not None:
                self._items[client, kept.id] = kept
        while len(self._found) > self.most_responses or self.held_bytes > self.most_bytes:
            self._forget(next(iter(self._found)))

    def _forget(self, name: tuple[str, str]) -> None:
        for kept in self._found.pop(name, Conversation()).kept:
            self._uses[kept] -= 1
            if self._uses[kept]:
                continue
            del self._uses[kept]
            self.held_bytes -= kept.size_bytes
            if kept.id is not None and self._items.get((name[0], kept.id)) is kept:
                del self._items[name[0], kept.id]


@dataclass(frozen=True, slots=True)
class _Own:
    store: ResponseStore
    client: str

    def conversation(self, response_id: str) -> Conversation:
        found = self.store.find(self.client, response_id)
        if found is None:
            raise PreviousResponseNotFound(
                f"Previous response with id '{response_id}' not found.",
                why=f"responses are kept in memory only, the latest {self.store.most_responses} in "
                f"{self.store.most_bytes >> 20} MiB, and none that was asked for with store: false",
                fix="send the whole conversation as input",
                param="previous_response_id",
            )
        return found

    def item(self, item_id: str) -> Object | None:
        found = self.store.find_item(self.client, item_id)
        return None if found is None else msgspec.json.decode(found.json)

    def keep(self, response_id: str, conversation: Conversation) -> None:
        self.store.keep(self.client, response_id, conversation)
