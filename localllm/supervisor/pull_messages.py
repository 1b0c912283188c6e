"""What a pull's state machine is told (inputs) and what it answers (effects). Only words, no rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from localllm.api.pull_views import ThenHow
from localllm.api.views import ServeReply, ServeRequest
from localllm.store.job import PullJob, PullProgress
from localllm.store.pull_talk import Failure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be here."""

    model: str
    """What serves it by, once it is."""

    quant: str | None
    reason: str
    job: PullJob


@dataclass(frozen=True, slots=True)
class Then:
    """What is to be served once all of it is here."""

    how: ThenHow
    request: ServeRequest
    lacks_engine: bool = False
    """One is to be fetched for it first."""

    reply: ServeReply | None = None
    refused: Failure | None = None

    @property
    def waits(self) -> bool:
        """Whether nobody has begun with it."""
        return self.reply is None and self.refused is None


@dataclass(frozen=True, slots=True)
class Begin:
    """It is its turn."""


@dataclass(frozen=True, slots=True)
class Progressed:
    run: int
    progress: PullProgress


@dataclass(frozen=True, slots=True)
class Ended:
    """Its process is gone."""

    run: int
    done: bool = False
    failed: Failure | None = None
    code: int | None = None
    """The exit status, where it said neither; None: it could not be started, or not be heard."""

    why: str = ""
    """Of that."""


@dataclass(frozen=True, slots=True)
class Pause:
    why: str


@dataclass(frozen=True, slots=True)
class Resume:
    turn: int
    wanted: Wanted | None = None
    """What has been planned anew; None: as before."""

    then: Then | None = None
    """None: as before."""


@dataclass(frozen=True, slots=True)
class Cancel: ...


@dataclass(frozen=True, slots=True)
class Arrive:
    """All of it is on disk, whoever has brought it."""


@dataclass(frozen=True, slots=True)
class StopAll:
    """The daemon ends; the next one goes on."""


Ask: TypeAlias = Pause | Resume | Cancel | Arrive | StopAll
Input: TypeAlias = Begin | Progressed | Ended | Ask


@dataclass(frozen=True, slots=True)
class Spawn:
    run: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process, if it is there."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    at: float


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove what has come of it."""


Effect: TypeAlias = Spawn | Kill | WakeAt | Clear
