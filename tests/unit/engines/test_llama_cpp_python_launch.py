"""llama-cpp-python: what its binding tells, what its worker is told, and whose turn it is."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from localllm.engines.base import (
    NO_BACKTRACE,
    SAVES_SLOTS,
    Endpoint,
    EngineDevice,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
)
from localllm.engines.llama_cpp_python import LlamaCppPython
from localllm.engines.workers.http import KEY_VARIABLE, Listening
from localllm.engines.workers.llama_cpp_python.server import Turns
from localllm.engines.workers.llama_cpp_python.worker import WorkerSettings, settings_from
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind
from tests.unit.engines.a_serving import CUDA, VULKAN, on_device, on_processor

ROOT = Path(__file__).parents[3]
FOUND = Installed("llama-cpp-python", "1", ("python", "-m", "worker"))
BINDING = """\
from types import SimpleNamespace

__version__ = "0.3.99"
print("ggml_vulkan: Found 1 Vulkan devices:")
DEVICES = [
    (b"CUDA0", b"NVIDIA GeForce RTX 4090", 1),
    (b"Vulkan0", b"AMD Radeon Graphics", 2),
    (b"BLAS", b"Accelerate", 3),
    (b"CPU", b"Ryzen", 0),
]

def count():
    return len(DEVICES)

def get(number):
    return number.value + 1

def told(place):
    return lambda device: DEVICES[device.value - 1][place]

def memory(device, free, total):
    free._obj.value, total._obj.value = 7, 8

llama_cpp = SimpleNamespace(_lib=SimpleNamespace(
    ggml_backend_dev_count=count,
    ggml_backend_dev_get=get,
    ggml_backend_dev_name=told(0),
    ggml_backend_dev_description=told(1),
    ggml_backend_dev_type=told(2),
    ggml_backend_dev_memory=memory,
))
"""


def find_with(folder: Path, binding: str, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Ask a binding of our own making."""
    (folder / "llama_cpp.py").write_text(binding)
    monkeypatch.syspath_prepend(folder)
    path = os.pathsep.join([str(folder), str(ROOT)])
    return LlamaCppPython({**os.environ, "PYTHONPATH": path}).find()


def launch(serving: Serving, endpoint: Endpoint) -> LaunchSpec:
    return LlamaCppPython({}).launch(FOUND, serving, endpoint)


def test_a_devices_list_holds_gpus_alone_and_noise_before_it_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_with(tmp_path, BINDING, monkeypatch)

    assert (found.engine, found.version, found.reason) == ("llama-cpp-python", "0.3.99", None)
    assert found.devices == (
        EngineDevice("CUDA0", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090", 8, 7),
        EngineDevice("Vulkan0", DeviceKind.VULKAN, "AMD Radeon Graphics", 8, 7),
    )
    assert (found.most_at_once, found.formats) == (1, {Format.GGUF})
    assert found.abilities == {"unix_socket", SAVES_SLOTS}


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ("import os; os.kill(os.getpid(), 4)", "illegal instruction"),
        ("raise OSError('libcudart.so.12: cannot open')", "libcudart.so.12: cannot open"),
        ("__version__ = '0.2'\nllama_cpp = object()", "_lib"),
        (BINDING + "import atexit; atexit.register(print, 'bye')", "its device list is unreadable"),
    ],
)
def test_a_binding_that_cannot_be_asked_is_unusable_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binding: str, reason: str
) -> None:
    found = find_with(tmp_path, binding, monkeypatch)

    assert found.reason is not None
    assert reason in found.reason


def test_where_it_is_not_installed_that_is_said_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    found = LlamaCppPython({}).find()

    assert (found.program, found.reason) == ((), "the package llama-cpp-python is not installed")


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
    spec = launch(on_device(CUDA, sampling=Sampling(temperature=0.6, top_k=20)), endpoint)

    assert spec.argv[:-1] == ["python", "-m", "worker"]
    assert settings_from(spec.argv[-1]) == WorkerSettings(
        model="/models/my model.gguf",
        alias="smol",
        context=8192,
        kv_type="f16",
        micro_batch=512,
        threads=6,
        whole=True,
        devices=["CUDA0"],
        split=[31],
        sampling={"temperature": 0.6, "top_k": 20},
        listening=listening,
        prefix_folder=None,
    )


def test_on_the_processor_no_layer_is_on_a_device() -> None:
    told = json.loads(launch(on_processor(), Endpoint(port=1)).argv[-1])

    assert (told["whole"], told["devices"], told["split"]) == (False, [], [])


def test_it_is_told_where_what_it_holds_is_saved() -> None:
    spec = launch(on_processor(prefix_folder=Path("/state/prefixes")), Endpoint(port=1))

    assert settings_from(spec.argv[-1]).prefix_folder == "/state/prefixes"


def test_key_and_cards_go_by_the_environment() -> None:
    spec = launch(on_device(CUDA, uuids=("GPU-1", "GPU-2")), Endpoint(port=1, key="s3cret"))

    assert spec.env == {
        **NO_BACKTRACE,
        "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        KEY_VARIABLE: "s3cret",
    }
    assert not any("s3cret" in word for word in spec.argv)


def test_a_plan_that_it_cannot_keep_is_refused_rather_than_broken() -> None:
    with pytest.raises(EngineUnusable) as refused:
        launch(on_device(VULKAN, experts_on_host=4), Endpoint(port=1))

    assert "4 layers" in refused.value.why


class Queue:
    """Clients that each wait for their turn in a thread of their own, and tell when they get it."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.gone: set[str] = set()
        self.served: list[str] = []
        self.threads: dict[str, threading.Thread] = {}
        self.asked = threading.Event()

    def join(self, name: str) -> None:
        """Let a client ask, and return once it stands in line."""
        self.asked.clear()
        thread = threading.Thread(target=self._wait, args=(name,))
        self.threads[name] = thread
        thread.start()
        assert self.asked.wait(10), "a client that waits looks whether it is still wanted"

    def _wait(self, name: str) -> None:
        try:
            with self.turns.turn(lambda: self._is_gone(name)):
                self.served.append(name)
        except ConnectionAbortedError:
            self.served.append(f"{name} left")

    def _is_gone(self, name: str) -> bool:
        self.asked.set()
        return name in self.gone


def test_those_who_wait_are_served_in_the_order_of_their_coming() -> None:
    queue = Queue()
    with queue.turns.turn(lambda: False):
        for name in "abc":
            queue.join(name)
        assert queue.served == []
    for thread in queue.threads.values():
        thread.join(10)

    assert queue.served == ["a", "b", "c"]


def test_the_place_of_one_who_left_is_free_and_the_others_keep_theirs() -> None:
    queue = Queue()
    with queue.turns.turn(lambda: False):
        for name in "abc":
            queue.join(name)
        queue.gone.add("b")
        queue.threads["b"].join(10)
    for thread in queue.threads.values():
        thread.join(10)

    assert queue.served == ["b left", "a", "c"]


def test_a_turn_that_fails_is_over_all_the_same() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns.turn(lambda: False):
        raise KeyError

    with turns.turn(lambda: False):
        pass
