"""What a fault is, what came of one, and what must be there afterwards as it was before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.fakes.installation import Installation, wait_until
from tests.faults.place import Place

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault that was injected once."""

    client_saw: str
    lost: str = NOTHING
    """Of what is served, pinned and remembered; the cut end of an answer is what a client saw."""

    ready_after_s: float | None = None
    """From the fault to the next answer, or from its cure where a person has to cure it; None:
    it was answered all the while."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and how to make it go wrong for real."""

    name: str
    how: str
    run: Callable[[Place], Outcome]
    """Injects it; asserts what is to come of it."""

    linux_only: bool = False
    """Other systems have no such way to bring it about."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What no fault may cost."""

    daemon: int
    ready: frozenset[tuple[str, bool]]
    """Models that serve, and whether they are pinned."""

    remembered: frozenset[str]
    """What the next daemon will serve, and what is pinned."""

    def without(self, other: Kept) -> str:
        """Say what `other` has not; what it has in addition is no loss."""
        gone = [f"daemon {self.daemon}"] if self.daemon != other.daemon else []
        gone += [f"{model}, pinned: {pinned}" for model, pinned in self.ready - other.ready]
        gone += [f"the memory of {one}" for one in self.remembered - other.remembered]
        return ", ".join(gone) or NOTHING


def kept(here: Installation) -> Kept:
    """Look once."""
    models = here.json("status")["models"]
    file = json.loads((here.state / "serving.json").read_text())
    asked = frozenset(f"{one['model']} with {one['context']} tokens" for one in file["serving"])
    return Kept(
        daemon=here.daemon_file()["pid"],
        ready=frozenset((m["id"], m["pinned"]) for m in models if m["state"] == "ready"),
        remembered=asked | {*file["pinned"]},
    )


def lost_since(before: Kept, here: Installation, *, daemon_too: bool = False) -> str:
    """Say what is gone; what is still being got ready is waited for.

    Args:
        daemon_too: It was the daemon that was ended, so that another one is no loss.
    """
    wait_until(lambda: kept(here).ready >= before.ready, f"{before.ready} serve again")
    after = kept(here)
    if daemon_too:
        after = replace(after, daemon=before.daemon)
    return before.without(after)
