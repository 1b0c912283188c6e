"""mlx-lm: what the package tells, and what its worker is told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from localllm.engines.base import SAVES_SLOTS, Endpoint, Installed, LaunchSpec, Sampling, Serving
from localllm.engines.mlx import Mlx
from localllm.engines.workers.http import KEY_VARIABLE, Listening
from localllm.engines.workers.mlx.worker import WorkerSettings, settings_from
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import CUDA, METAL, on_device, on_processor

ROOT = Path(__file__).parents[3]
FOUND = Installed("mlx", "1", ("python", "-m", "worker"))
FOLDER = Path("/models/Qwen3-8B-4bit")

CORE = """\
cpu, gpu = "cpu", "gpu"
Device = str

def default_device():
    return {device!r}

class metal:
    is_available = staticmethod(lambda: {metal})

def device_info():
    return {told}
"""
MAC = {"device_name": "Apple M2 Max", "max_recommended_working_set_size": 7, "memory_size": 9}
CARD = {"device_name": "NVIDIA GeForce RTX 4090", "total_memory": 9, "free_memory": 8}


def find_with(folder: Path, core: str) -> Installed:
    """Ask an mlx of our own making; mlx-lm itself is the real one."""
    (folder / "mlx").mkdir()
    (folder / "mlx/__init__.py").touch()
    (folder / "mlx/core.py").write_text(core)
    return find_in(folder)


def find_in(folder: Path) -> Installed:
    path = os.pathsep.join([str(folder), str(ROOT)])
    return Mlx({**os.environ, "PYTHONPATH": path}).find()


def launch(serving: Serving, endpoint: Endpoint) -> LaunchSpec:
    return Mlx({}).launch(FOUND, serving, endpoint)


def told(serving: Serving) -> WorkerSettings:
    return settings_from(launch(serving, Endpoint(port=1)).argv[-1])


def test_the_real_package_tells_its_version_and_that_it_serves_mlx_alone(tmp_path: Path) -> None:
    found = find_in(tmp_path)

    assert (found.engine, found.reason) == ("mlx", None), "scripts/test installs mlx-lm[cpu]"
    assert found.version is not None
    assert found.formats == {Format.MLX}
    assert found.abilities == {"unix_socket", SAVES_SLOTS}
    assert found.origin == "the package mlx-lm"


@pytest.mark.parametrize(
    ("core", "device"),
    [
        (
            CORE.format(device="gpu", metal=True, told=MAC),
            ("MTL0", DeviceKind.METAL, "Apple M2 Max", 7, None),
        ),
        (
            CORE.format(device="gpu", metal=False, told=CARD),
            ("CUDA0", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 9, 8),
        ),
    ],
)
def test_its_device_has_llama_cpps_name_and_the_memory_that_a_process_may_have(
    tmp_path: Path, core: str, device: tuple[object, ...]
) -> None:
    (seen,) = find_with(tmp_path, core).devices

    assert (seen.name, seen.kind, seen.description, seen.memory_total, seen.memory_free) == device


def test_the_processor_is_no_device_of_it(tmp_path: Path) -> None:
    found = find_with(tmp_path, CORE.format(device="cpu", metal=False, told={}))

    assert (found.available, found.devices) == (True, ())


@pytest.mark.parametrize(
    ("core", "reason"),
    [
        ("import os; os.kill(os.getpid(), 4)", "illegal instruction"),
        ("raise ImportError('libmlx.so: cannot open shared object file')", "libmlx.so: cannot op"),
        (CORE.format(device="cpu", metal=False, told={}) + "cpu()", "'str' object is not callable"),
    ],
)
def test_an_mlx_that_cannot_be_asked_is_unusable_and_says_why(
    tmp_path: Path, core: str, reason: str
) -> None:
    found = find_with(tmp_path, core)

    assert found.reason is not None
    assert reason in found.reason
    assert found.formats == {Format.MLX}


def test_an_mlx_lm_that_runs_code_out_of_a_models_folder_is_not_used(tmp_path: Path) -> None:
    old = tmp_path / "mlx_lm-0.31.3.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: mlx-lm\nVersion: 0.31.3\n")

    assert find_in(tmp_path).reason == "mlx-lm 0.31.3 is older than 0.32"


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlx_lm", None)

    found = Mlx({}).find()

    assert (found.reason, found.program) == ("the package mlx-lm is not installed", ())


@pytest.mark.parametrize(
    ("endpoint", "listening"),
    [
        (Endpoint(socket=Path("/run/e.sock")), Listening("/run/e.sock", None)),
        (Endpoint(port=4242, key="s3cret"), Listening(None, 4242)),
    ],
)
def test_the_worker_reads_exactly_what_the_plan_says(
    endpoint: Endpoint, listening: Listening
) -> None:
    sampling = Sampling(temperature=0.7, top_k=20)

    spec = launch(
        on_device(
            METAL, model_file=FOLDER, sampling=sampling, prefix_folder=Path("/state/prefixes")
        ),
        endpoint,
    )

    assert spec.argv[:-1] == ["python", "-m", "worker"]
    assert settings_from(spec.argv[-1]) == WorkerSettings(
        model="/models/Qwen3-8B-4bit",
        alias="smol",
        context=8192,
        parallel=4,
        kv_bits=None,
        micro_batch=512,
        host_cache_bytes=720 << 20,
        on_device=True,
        layers=31,
        sampling={"temperature": 0.7, "top_k": 20},
        listening=listening,
        prefix_folder="/state/prefixes",
    )


def test_without_a_device_the_processor_computes() -> None:
    assert not told(on_processor(model_file=FOLDER)).on_device


@pytest.mark.parametrize(("kv_type", "bits"), [("f16", None), ("q8_0", 8), ("q4_0", 4)])
def test_the_type_of_the_cache_is_told_in_bits(kv_type: str, bits: int | None) -> None:
    assert told(on_processor(model_file=FOLDER, kv_type=kv_type)).kv_bits == bits


def test_a_cache_that_mlx_does_not_have_is_refused() -> None:
    with pytest.raises(EngineUnusable, match="no cache of the type q5_1"):
        told(on_processor(model_file=FOLDER, kv_type="q5_1"))


def test_a_gguf_is_never_handed_to_mlx() -> None:
    with pytest.raises(EngineUnusable, match=r"my model\.gguf is not for mlx"):
        told(on_processor(model_file=Path("/models/my model.gguf")))


def test_key_and_cards_go_by_the_environment_and_nothing_is_fetched() -> None:
    serving = on_device(CUDA, model_file=FOLDER, uuids=("GPU-1",))

    spec = launch(serving, Endpoint(port=1, key="s3cret"))

    assert spec.env == {
        "CUDA_VISIBLE_DEVICES": "GPU-1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "HF_HUB_OFFLINE": "1",
        KEY_VARIABLE: "s3cret",
    }
    assert not any("s3cret" in word for word in spec.argv)
    assert json.loads(spec.argv[-1])["listening"] == {"socket": None, "port": 1}
