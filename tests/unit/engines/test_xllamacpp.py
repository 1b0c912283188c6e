"""llama.cpp in a wheel: what the wheel tells, and what its worker is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from localllm.engines.base import (
    NO_BACKTRACE,
    Adapter,
    Drafting,
    Endpoint,
    Installed,
    LaunchSpec,
    Serving,
    Task,
)
from localllm.engines.worker_query import kind_of
from localllm.engines.workers.xllamacpp import (
    KEY_VARIABLE,
    DraftSettings,
    WorkerSettings,
    parse_settings,
)
from localllm.engines.xllamacpp import Xllamacpp
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import CUDA, on_device, on_processor

ROOT = Path(__file__).parents[3]
FOUND = Installed("xllamacpp", "1", ("python", "-m", "worker"))

WHEEL = """\
from enum import IntEnum

__version__ = "2026.1"
print("ggml_init: found a device")

class ggml_backend_dev_type(IntEnum):
    GGML_BACKEND_DEVICE_TYPE_CPU = 0
    GGML_BACKEND_DEVICE_TYPE_GPU = 1
    GGML_BACKEND_DEVICE_TYPE_IGPU = 2
    GGML_BACKEND_DEVICE_TYPE_ACCEL = 3

def get_device_info():
    return [
        {"name": name, "type": kind, "description": text, "memory_total": 8, "memory_free": 7}
        for name, kind, text in (
            ("MTL0", 1, "Apple M2 Max"),
            ("Vulkan0", 2, "AMD Radeon Graphics"),
            ("BLAS", 3, "Accelerate"),
            ("CPU", 0, "Apple M2 Max"),
        )
    ]
"""


def find_with(folder: Path, wheel: str) -> Installed:
    """Ask a wheel of our own making."""
    (folder / "xllamacpp.py").write_text(wheel)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return Xllamacpp({**os.environ, "PYTHONPATH": path}).find()


def launch(serving: Serving, endpoint: Endpoint) -> LaunchSpec:
    return Xllamacpp({}).launch(FOUND, serving, endpoint)


def test_the_real_wheel_tells_its_version_and_the_processor_is_no_device_of_it() -> None:
    found = Xllamacpp({**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}).find()

    assert (found.engine, found.reason) == ("xllamacpp", None)
    assert found.version is not None
    assert found.version[:2] == "20"
    assert "CPU" not in [d.name for d in found.devices]
    assert found.abilities == {"unix_socket", "saves_slots", "saves_checkpoints"}


def test_a_devices_list_holds_gpus_alone_and_noise_before_it_does_no_harm(tmp_path: Path) -> None:
    found = find_with(tmp_path, WHEEL)

    assert found.version == "2026.1"
    assert [(d.name, d.kind, d.description) for d in found.devices] == [
        ("MTL0", DeviceKind.METAL, "Apple M2 Max"),
        ("Vulkan0", DeviceKind.VULKAN, "AMD Radeon Graphics"),
    ]
    assert [(d.memory_total, d.memory_free) for d in found.devices] == [(8, 7), (8, 7)]


@pytest.mark.parametrize(
    ("version", "able"),
    [
        ("2026.10.11549", True),
        ("2026.11.12001+cu128", True),
        ("2026.9.11548", False),
        ("0.2.13", False),
        ("unknown", False),
    ],
)
def test_the_last_number_of_its_version_tells_whether_it_saves_checkpoints(
    tmp_path: Path, version: str, able: bool
) -> None:
    found = find_with(tmp_path, WHEEL.replace("2026.1", version))

    assert ("saves_checkpoints" in found.abilities) is able


@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        ("import os; os.kill(os.getpid(), 4)", "illegal instruction"),
        ("raise ImportError('libcudart.so.12: cannot open')", "libcudart.so.12: cannot open"),
        (WHEEL + "import atexit; atexit.register(print, 'bye')", "its device list is unreadable"),
    ],
)
def test_a_wheel_that_cannot_be_asked_is_unusable_and_says_why(
    tmp_path: Path, wheel: str, reason: str
) -> None:
    found = find_with(tmp_path, wheel)

    assert found.reason is not None
    assert reason in found.reason


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CUDA0", DeviceKind.CUDA),
        ("MTL0", DeviceKind.METAL),
        ("Metal", DeviceKind.METAL),
        ("ROCm1", DeviceKind.ROCM),
        ("Vulkan0", DeviceKind.VULKAN),
        ("SYCL0", DeviceKind.VULKAN),
    ],
)
def test_llama_cpps_name_of_a_device_tells_its_kind(name: str, kind: DeviceKind) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    ("endpoint", "socket", "port"),
    [
        (Endpoint(socket=Path("/run/e.sock")), "/run/e.sock", None),
        (Endpoint(port=4242, key="s3cret"), None, 4242),
    ],
)
def test_the_worker_reads_exactly_what_the_plan_says(
    endpoint: Endpoint, socket: str | None, port: int | None
) -> None:
    spec = launch(on_device(CUDA), endpoint)

    assert spec.argv[:-1] == ["python", "-m", "worker"]
    assert parse_settings(spec.argv[-1]) == WorkerSettings(
        model="/models/my model.gguf",
        alias="smol",
        context=8192,
        parallel=4,
        kv_type="f16",
        micro_batch=512,
        threads=6,
        host_cache_mib=720,
        checkpoints=0,
        whole=True,
        devices=["CUDA0"],
        split=[31],
        experts_on_host=0,
        projector=None,
        batch=2048,
        task="write",
        pooling=None,
        draft=None,
        adapters=[],
        sampling={},
        socket=socket,
        port=port,
        prefix_folder=None,
    )


def test_on_the_processor_no_layer_is_on_a_device() -> None:
    spec = launch(on_processor(), Endpoint(port=1))

    told = json.loads(spec.argv[-1])
    assert (told["whole"], told["devices"], told["split"]) == (False, [], [])


def test_what_goes_with_a_model_reaches_the_worker() -> None:
    serving = on_device(
        CUDA,
        drafting=Drafting(5, Path("/models/small.gguf"), "q8_0", CUDA, 13),
        adapters=(Adapter(Path("/models/a.gguf"), 0.5),),
        task=Task.EMBED,
        pooling="last",
    )

    told = parse_settings(launch(serving, Endpoint(port=1)).argv[-1])

    assert told.draft == DraftSettings("/models/small.gguf", 5, "q8_0", "CUDA0", 13)
    assert [tuple(adapter) for adapter in told.adapters] == [("/models/a.gguf", 0.5)]
    assert (told.task, told.pooling, told.batch) == ("embed", "last", 512)


def test_the_worker_keeps_as_many_checkpoints_as_are_planned() -> None:
    told = parse_settings(launch(on_processor(checkpoints=3), Endpoint(port=1)).argv[-1])

    assert told.checkpoints == 3


def test_what_its_slots_hold_goes_into_the_folder_that_is_said() -> None:
    serving = on_processor(prefix_folder=Path("/state/prefixes"))

    told = parse_settings(launch(serving, Endpoint(port=1)).argv[-1])

    assert told.prefix_folder == "/state/prefixes"


def test_heads_of_the_models_own_are_no_file_to_the_worker() -> None:
    spec = launch(on_processor(drafting=Drafting(2, None, "f16")), Endpoint(port=1))

    assert parse_settings(spec.argv[-1]).draft == DraftSettings(None, 2, "f16", None, 0)


def test_key_and_cards_go_by_the_environment() -> None:
    spec = launch(on_device(CUDA, uuids=("GPU-1", "GPU-2")), Endpoint(port=1, key="s3cret"))

    assert spec.env == {
        **NO_BACKTRACE,
        "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        KEY_VARIABLE: "s3cret",
    }
    assert not any("s3cret" in word for word in spec.argv)
