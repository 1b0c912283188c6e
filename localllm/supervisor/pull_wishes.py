"""What pulls are for: which of them are to be served now, and what a newer ask does to that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from localllm.supervisor.pull_messages import Then
from localllm.supervisor.pulling_list import UNDER_WAY, Pull, PullState


def is_due(pull: Pull) -> bool:
    """Whether all of it is here, and nobody has begun to serve it as was asked."""
    return pull.state is PullState.DONE and pull.is_awaited


def lacks_engine(pull: Pull) -> bool:
    """Whether an engine is to be fetched before it can be served."""
    return pull.then is not None and pull.then.waits and pull.then.lacks_engine


def next_due(pulls: Iterable[Pull]) -> Pull | None:
    """Find the one to be served first: who asked first."""
    due = (pull for pull in pulls if is_due(pull) and not lacks_engine(pull))
    return min(due, key=lambda pull: pull.turn, default=None)


def next_without_engine(pulls: Iterable[Pull]) -> Pull | None:
    """Find one that is here or on its way, and that no engine could serve."""
    lacking = (p for p in pulls if lacks_engine(p) and p.state in UNDER_WAY | {PullState.DONE})
    return min(lacking, key=lambda pull: pull.turn, default=None)


def waiting(pulls: Iterable[Pull]) -> Mapping[str, Then]:
    """List what is to be served once it is here, and was not begun, by the pull's id."""
    return {pull.id: pull.then for pull in pulls if pull.then is not None and pull.then.waits}


def with_then(pull: Pull, old: Then, new: Then | None) -> Pull:
    """Put one thing that is to be served in the place of another; of a third nothing is changed."""
    return replace(pull, then=new) if pull.then is old else pull
