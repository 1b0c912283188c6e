"""What was measured, and what the plan had said of it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from localllm.api.status_views import SpeedView
from localllm.bench.subject import machine_of, predicted, read_model
from tests.fakes.scene_parts import a_probe, an_instance
from tests.unit.bench.a_bench import point, spread


def speed(tps: float | None) -> SpeedView:
    return SpeedView(predicted_tps=tps, measured_tps=None, prefill_tps=None)


@pytest.mark.parametrize(
    ("said", "measured", "verdict"),
    [
        (100.0, 90.0, "as predicted"),
        (100.0, 60.0, "slower"),
        (100.0, 160.0, "faster"),
        (None, 90.0, "unknown"),
    ],
)
def test_a_single_stream_is_judged_by_the_range_of_the_plan(
    said: float | None, measured: float, verdict: str
) -> None:
    deeper = point(depth=4096, decode=spread(1.0))
    crowd = point(concurrency=4, decode=spread(1.0))

    view = predicted(
        an_instance(speed=speed(said)), [crowd, deeper, point(decode=spread(measured))]
    )

    assert view.verdict == verdict
    assert view.memory == an_instance().memory.predicted


def test_a_plan_for_an_empty_cache_is_not_held_against_a_full_one() -> None:
    deep = point(depth=16384, decode=spread(50.0))

    assert predicted(an_instance(speed=speed(100.0)), [deep]).verdict == "unknown"


def test_without_a_single_stream_nothing_is_judged() -> None:
    assert predicted(an_instance(), []).verdict == "unknown"


def test_a_file_is_told_by_its_hash(tmp_path: Path) -> None:
    file, named = tmp_path / "small.gguf", tmp_path / ("ab" * 32)
    file.write_bytes(b"weights")
    named.write_bytes(b"other weights")

    small, blob, gone = (
        read_model(an_instance(file=str(f))) for f in (file, named, tmp_path / "x")
    )

    assert (small.file_bytes, small.sha256) == (7, sha256(b"weights").hexdigest())
    assert blob.sha256 == "ab" * 32
    assert (gone.file_bytes, gone.sha256) == (None, None)


def test_a_machine_is_its_host_and_its_devices_with_their_drivers() -> None:
    machine = machine_of(a_probe("rtx5090"))

    assert "NVIDIA GeForce RTX 5090" in [device.name for device in machine.devices]
    assert machine.memory_total > 0
