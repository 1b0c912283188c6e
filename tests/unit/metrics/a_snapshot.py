"""A machine with one model on one card, as a scrape sees it."""

from __future__ import annotations

from localllm.events import ModelState
from localllm.metrics.snapshot import DeviceNow, InstanceNow, Snapshot

GIB = 1 << 30

INSTANCE = InstanceNow(
    model="m",
    instance="m:1",
    engine="xllamacpp",
    device="RTX 5090",
    quantization="Q4_K_M",
    state=ModelState.READY,
    context_tokens=32768,
    slots=4,
    active=2,
    waiting=1,
    kv_used_ratio=0.25,
    predicted_bytes=9 * GIB,
    measured_bytes=8 * GIB,
    resident_bytes=GIB,
)
CARD = DeviceNow(
    device="cuda:0",
    kind="cuda",
    name="RTX 5090",
    memory_bytes=32 * GIB,
    used_bytes=10 * GIB,
    power_w=420.5,
    energy_j=1234.5,
    temperature_c=61,
    utilization_ratio=0.97,
)
PROCESSOR = DeviceNow(
    device="cpu", kind="cpu", name="a processor", memory_bytes=None, used_bytes=None
)
SNAPSHOT = Snapshot(
    version="1.2.3",
    started_at=1_800_000_000.0,
    instances=(INSTANCE,),
    devices=(CARD, PROCESSOR),
    host_memory_bytes=64 * GIB,
    host_available_bytes=50 * GIB,
    ledger_dropped=3,
)
