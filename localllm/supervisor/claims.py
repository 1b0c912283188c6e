"""What pulls count on that have not ended: nobody is to remove it. Computed alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.supervisor.pull_parts import contents_of
from localllm.supervisor.pulling_list import UNDER_WAY, UNFINISHED, Pull


@dataclass(frozen=True, slots=True)
class Claim:
    """Of one pull."""

    pull: str
    repo: str
    quant: str | None
    contents: frozenset[Path]
    """Whole, in part, or yet to come."""

    at_rest: bool
    """It does nothing as long as nobody resumes it."""


def claims_of(pulls: Iterable[Pull], cache: Path) -> Sequence[Claim]:
    """List them.

    Args:
        cache: That all programs share.
    """
    return [
        Claim(
            pull.id,
            pull.wanted.job.repo,
            pull.wanted.quant,
            frozenset(contents_of(cache, pull.wanted.job)),
            at_rest=pull.state not in UNDER_WAY,
        )
        for pull in pulls
        if pull.state in UNFINISHED
    ]
