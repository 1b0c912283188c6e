"""All pulls that are known: on disk for the next daemon, on the bus for who watches. Begins none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import anyio

from localllm.api.pull_views import EngineFetchView, PullView
from localllm.errors import NotFound
from localllm.events import PullChanged
from localllm.supervisor.bus import EventBus
from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pull_queue import without_old
from localllm.supervisor.pull_view import render_pull
from localllm.supervisor.pull_wishes import next_due, next_without_engine, waiting, with_then
from localllm.supervisor.pulling_list import Pull
from localllm.supervisor.pulls_file import read_pulls, write_pulls


class PullBook:
    """By their ids, in the order of their numbers."""

    def __init__(self, file: Path, bus: EventBus) -> None:
        self._file = file
        self._bus = bus
        self._pulls: dict[str, Pull] = {}
        self._last = 0
        self.engine: EngineFetchView | None = None
        """That is being fetched for those that lack one."""

        self.changed = anyio.Event()
        """Set at the next change of any; then there is another one."""

    def restore(self) -> None:
        """Take over what an earlier daemon has left."""
        remembered = read_pulls(self._file)
        self._pulls = {pull.id: pull for pull in remembered.pulls}
        self._last = remembered.last

    @property
    def all(self) -> Collection[Pull]:
        """As they are now: what is put meanwhile changes it not."""
        return tuple(self._pulls.values())

    def get(self, name: str) -> Pull | None:
        return self._pulls.get(name)

    def __getitem__(self, name: str) -> Pull:
        return self._pulls[name]

    def require(self, name: str) -> Pull:
        """Find one that somebody names.

        Raises:
            NotFound: There is no such pull.
        """
        pull = self._pulls.get(name)
        if pull is None:
            raise NotFound(
                f"There is no pull {name[:40]!r}.",
                why="no pull has this id, or it ended long ago",
                fix="GET /api/v1/pulls lists them",
            )
        return pull

    def next_id(self) -> str:
        """Give a number that no pull ever had."""
        self._last += 1
        return f"p{self._last}"

    def next_turn(self) -> int:
        return max((pull.turn for pull in self._pulls.values()), default=0) + 1

    def put(self, new: Pull) -> None:
        """Take in a new one, or what has become of one; tell and remember what matters of it."""
        old = self._pulls.get(new.id)
        self._pulls[new.id] = new
        if old is None or new.state is not old.state:
            self._publish(old, new, new.why)
        if old is None or _kept(new) != _kept(old):
            self._remember()

    def leave_out_old(self) -> None:
        """Forget the oldest of those that have ended, beyond what is kept."""
        self._pulls = dict(without_old(self._pulls))

    def announce(self) -> None:
        """Wake who waits for a change."""
        self.changed.set()
        self.changed = anyio.Event()

    def show(self, name: str) -> PullView:
        return render_pull(self._pulls[name], anyio.current_time(), self.engine)

    def views(self) -> list[PullView]:
        """Show those that have not ended, and the last that have."""
        return [self.show(name) for name in self._pulls]

    def next_due(self) -> Pull | None:
        """Find what is here and to be served now."""
        return next_due(self._pulls.values())

    def next_without_engine(self) -> Pull | None:
        """Find what is wanted and lacks an engine."""
        return next_without_engine(self._pulls.values())

    def wishes(self) -> Mapping[str, Then]:
        """List what is to be served once it is here, by the pull's id."""
        return waiting(self._pulls.values())

    def settle(self, pull: str, then: Then, outcome: Then | None) -> None:
        """Note what came of what was to be served, unless something else is by now."""
        known = self._pulls.get(pull)
        if known is not None and known.then is then:
            self._pulls[pull] = with_then(known, then, outcome)
            self._remember()
            self.announce()

    def drop_wishes(self, older: Mapping[str, Then]) -> None:
        """Have them pulled only: something newer is to be served."""
        for name, then in older.items():
            pull = self._pulls.get(name)
            if pull is not None and pull.then is then:
                self._publish(pull, pull, "something newer is to be served: it is fetched only")
                self.settle(name, then, None)

    def _publish(self, old: Pull | None, new: Pull, why: str) -> None:
        before = None if old is None else old.state.value
        model = new.wanted.model
        self._bus.publish(PullChanged(new.id, model, before, new.state.value, why))

    def _remember(self) -> None:
        write_pulls(self._file, self._pulls.values(), self._last)


def _kept(pull: Pull) -> tuple[object, ...]:
    """What of it changes seldom, and is worth a write: how far it is, its files tell."""
    return (pull.state, pull.wanted, pull.then)
