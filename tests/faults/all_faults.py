"""Every fault that there is a row for, in the order of the table."""

from __future__ import annotations

from tests.faults import (
    changes_fail,
    clients,
    engines_fail,
    files_break,
    machine_fails,
    memory_runs_out,
)

FAULTS = (
    *engines_fail.FAULTS,
    *memory_runs_out.FAULTS,
    *machine_fails.FAULTS,
    *files_break.FAULTS,
    *clients.FAULTS,
    *changes_fail.FAULTS,
)
