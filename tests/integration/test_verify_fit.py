"""The measure of the memory predictions runs from a checkout and finds nothing that is off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

VERIFY = Path(__file__).parents[2] / "scripts" / "verify_fit"


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(300)
def test_real_loads_on_the_processor_and_on_devices_are_what_was_predicted(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"

    done = subprocess.run(
        [sys.executable, str(VERIFY), "--quick", "--json", str(rows)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    loads = json.loads(rows.read_text())
    assert {load["place"] for load in loads} >= {"cpu", "one", "two", "part", "aside"}
    assert {row["part"] for load in loads for row in load["rows"]} >= {
        "weights",
        "kv_cache",
        "recurrent_state",
        "compute",
        "output",
        "total",
    }
    assert all(row["real"] for load in loads for row in load["rows"] if row["predicted"])
