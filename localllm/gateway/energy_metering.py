"""Joins what the energy of devices is shared by: who is in memory, who asks, what is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from localllm.errors import LocalLLMError
from localllm.events import InstanceId, ModelState
from localllm.metrics.energy import EnergyMeter, Placed
from localllm.metrics.ledger import Ledger
from localllm.metrics.ledger_totals import read_idle_w
from localllm.metrics.requests import Requests
from localllm.metrics.savings import day_of
from localllm.supervisor.accounts import HOLDS_MEMORY
from localllm.supervisor.fleet import Fleet

_log = logging.getLogger("localllm.metrics")
_LOOKS_BACK_S = 30 * 86_400.0
"""For what devices use idle, until this daemon has seen it."""

Places = Callable[[], Mapping[InstanceId, Placed]]


def places_of(fleet: Fleet) -> Mapping[InstanceId, Placed]:
    """Say which devices compute layers of each instance in memory, as planned.

    What little the host holds beside a model that is on a card is not counted to it: the processor's
    energy is mostly other programs' then, and most systems do not tell it.
    """
    return {
        hosted.id: Placed(
            frozenset(part.device for part in hosted.planned.plan.placement if part.layers),
            hosted.state is ModelState.READY,
        )
        for hosted in fleet.instances()
        if hosted.state in HOLDS_MEMORY
    }


def open_energy(file: Path, requests: Requests, ledger: Ledger, places: Places) -> EnergyMeter:
    """Put the meter together, and have the ledger keep what it counts.

    Args:
        file: The ledger's, for what devices used idle before.
    """
    meter = EnergyMeter(
        requests.live,
        places,
        ledger.client_of,
        ledger.offer_energy,
        clock=requests.clock,
        idle_w=dict(_known_idle_w(file)),
    )
    requests.when_one_ends.append(meter.finished)
    ledger.when_it_ends.append(meter.flush)
    return meter


def _known_idle_w(file: Path) -> Mapping[str, float]:
    try:
        return read_idle_w(file, day_of(time.time() - _LOOKS_BACK_S))
    except (LocalLLMError, OSError) as error:
        _log.warning("what devices use idle is measured anew: why=%s", error)
        return {}
