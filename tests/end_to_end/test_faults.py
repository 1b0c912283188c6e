"""Every fault is injected for real, once: nothing is lost, and what can serve again does."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.faults.all_faults import FAULTS
from tests.faults.fault import NOTHING, Fault
from tests.faults.place import Place, a_place

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]
HERE = [fault for fault in FAULTS if sys.platform == "linux" or not fault.linux_only]
"""What this system has a way to bring about: on Linux all of them."""


@pytest.fixture
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made


@pytest.mark.parametrize("fault", HERE, ids=lambda fault: fault.name)
def test_a_fault_costs_nothing_but_what_the_client_is_told(fault: Fault, place: Place) -> None:
    outcome = fault.run(place)

    assert outcome.lost == NOTHING
