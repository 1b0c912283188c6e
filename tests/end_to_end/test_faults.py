"""Every fault is injected for real, once: nothing is lost, and what can serve again does."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.faults.all_faults import FAULTS
from tests.faults.fault import NOTHING, Fault
from tests.faults.place import Place, a_place

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]


@pytest.fixture
def place() -> Iterator[Place]:
    with a_place() as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_costs_nothing_but_what_the_client_is_told(fault: Fault, place: Place) -> None:
    if fault.linux_only and sys.platform != "linux":
        pytest.skip("this system has no way to bring it about")

    outcome = fault.run(place)

    assert outcome.lost == NOTHING
