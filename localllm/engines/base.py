"""The one seam that a new engine fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from localllm.formats.header import Format
from localllm.hardware.machine import DeviceKind


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one engine process listens, for the daemon alone.

    Either a Unix socket, in a folder that only its user may enter, or a loopback port
    with a key that lives as long as the process.
    """

    socket: Path | None = None
    port: int | None = None
    key: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The base of its HTTP addresses; over a socket the host's name is a mere formality."""
        return "http://localhost" if self.port is None else f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """Everything needed to start one engine process, and to reach it."""

    argv: Sequence[str]
    endpoint: Endpoint
    start_deadline_s: float
    """Longest silence while loading: from bytes to read over the slowest disk that we
    accept. An engine that shows progress renews it."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to the daemon's environment."""

    tells_placement: bool = True
    """Whether its log says, as llama.cpp's does, which layers are where; others refuse to start
    where they cannot have the devices."""


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device in the engine's own words, from its own list."""

    name: str
    """As its command line takes it: Vulkan0, CUDA1."""

    kind: DeviceKind
    description: str
    memory_total: int | None = None
    memory_free: int | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """One engine as it was found here."""

    engine: str
    version: str | None
    program: Sequence[str]
    """The start of its command line; empty where it is not to be had."""

    devices: tuple[EngineDevice, ...] = ()
    """What it can compute on beside the processor."""

    abilities: frozenset[str] = frozenset()
    formats: frozenset[Format] = frozenset({Format.GGUF})
    """What it can serve."""

    most_at_once: int | None = None
    """Requests that it answers at the same time, where it has a bound of its own; 1 means that
    they wait for each other."""

    origin: str | None = None
    """Where it comes from, in words: the package, the program's path, the build fetched."""

    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its program needs in its environment, the folders of libraries above all."""

    hint: str | None = None
    """Why it lists fewer devices than there may be, in words; None if it does not say."""

    reason: str | None = None
    """Why it cannot be used; None if it can."""

    @property
    def available(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a request means that says nothing itself; None leaves it to the engine."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None


NO_SAMPLING = Sampling()


SAVES_SLOTS = "saves_slots"
"""The ability to put what a slot holds into a file, and to take it from there."""

SAVES_CHECKPOINTS = "saves_checkpoints"
"""The ability to put a slot's checkpoints there, too: without them a model with a window or a
state has to read a prompt again as soon as it differs from what was saved."""

_FIRST_BUILD_THAT_DOES = 11549
"""Of llama.cpp, as far as it was tried: b10434 does not."""

_BATCH_TOKENS = 2048
"""llama.cpp's own default; nothing that is planned depends on it."""


class Task(StrEnum):
    """What an engine does with a text."""

    WRITE = "write"
    EMBED = "embed"
    """Makes a vector of it."""

    RERANK = "rerank"
    """Says how well it answers a question."""


@dataclass(frozen=True, slots=True)
class Drafting:
    """What guesses tokens ahead, for the model to check all at once."""

    tokens: int
    """At a time, for each slot."""

    file: Path | None
    """A smaller model; None: blocks of the model's own (MTP)."""

    kv_type: str
    device: EngineDevice | None = None
    """Where all of it goes; None: where the model is, on the processor if that is there."""

    layers: int = 0
    """All of a smaller model's, as llama.cpp counts them; 0 on the processor."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter."""

    file: Path
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Serving:
    """What an engine is asked to serve: the parts of a plan that become its settings."""

    model_file: Path
    file_bytes: int
    alias: str
    """What the engine calls the model in its answers."""

    context: int
    parallel: int
    kv_type: str
    micro_batch: int
    threads: int
    host_cache_bytes: int
    checkpoints: int = 0
    """Earlier states of each slot that are kept, where its cache cannot be cut back anywhere."""

    devices: tuple[EngineDevice, ...] = ()
    """Where the layers go, in the engine's own names; none: on the processor."""

    split: tuple[int, ...] = ()
    """Layers for each device; counted as llama.cpp does: the output layer is one more."""

    layers: int = 0
    """All there are, counted likewise; the first of them stay on the host if the devices have less."""

    experts_on_host: int = 0
    """Of so many layers from the first the experts stay on the host."""

    uuids: tuple[str, ...] = ()
    """NVIDIA devices by UUID, since neither NVML's nor CUDA's numbers are sure."""

    silence_s: float = 60.0
    """How long loading may show no progress, beside the time that its bytes take."""

    sampling: Sampling = NO_SAMPLING
    engine_args: tuple[str, ...] = ()
    """Flags of the user's own, for engines with a command line; they come last."""

    projector_file: Path | None = None
    """What turns images into what the model reads; None: images are not served."""

    task: Task = Task.WRITE
    pooling: str | None = None
    """How the vectors of tokens become one, in llama.cpp's words; None is as the file says."""

    drafting: Drafting | None = None
    adapters: tuple[Adapter, ...] = ()
    prefix_folder: Path | None = None
    """Where the engine puts what its slots hold, and finds it again; None: it does not. It has to
    be there at the start."""

    pins_slots: bool = False
    """Requests name the slot that they go to, and what others hold stays there."""

    @property
    def batch(self) -> int:
        """Tokens that the engine takes at a time, in micro batches; of texts for vectors just one.

        Left to llama.cpp it would cap the micro batch.
        """
        if self.task is not Task.WRITE:
            return self.micro_batch
        return max(_BATCH_TOKENS, self.micro_batch)

    @property
    def layers_on_device(self) -> int:
        return sum(self.split)

    @property
    def whole(self) -> bool:
        """Whether the devices have everything but what is looked up on the host."""
        return self.layers_on_device == self.layers and not self.experts_on_host


class Engine(Protocol):
    """One engine. `find` looks at the machine; `launch` is pure and starts nothing."""

    name: str
    formats: frozenset[Format]
    """What it serves; where none of it is wanted, it need not be looked for."""

    def find(self) -> Installed:
        """Find out what is here; may run short-lived processes."""
        ...

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        """Say how to serve."""
        ...


SLOWEST_DISK_BYTES_PER_S = 50 << 20
"""A hard disk or a network share; below this a load counts as stuck unless it shows progress."""


def start_deadline_s(serving: Serving) -> float:
    """How long a load may stay silent; from its bytes, since loading is not hanging."""
    return serving.silence_s + serving.file_bytes / SLOWEST_DISK_BYTES_PER_S


def abilities_of_build(build: int | None) -> frozenset[str]:
    """What a build of llama.cpp can do that no flag tells of; None: its number is not known."""
    able = build is not None and build >= _FIRST_BUILD_THAT_DOES
    return frozenset({SAVES_CHECKPOINTS} if able else ())


def library_environment(
    libraries: Sequence[str], environment: Mapping[str, str]
) -> Mapping[str, str]:
    """Have a program find shared libraries in these folders before all others."""
    if not libraries:
        return {}
    name = "LD_LIBRARY_PATH"  # of macOS there are no builds that need it
    others = [environment[name]] if environment.get(name) else []
    return {name: ":".join([*libraries, *others])}


NO_BACKTRACE = {"GGML_NO_BACKTRACE": "1"}
"""Where llama.cpp aborts it would have a debugger write all its threads into the log, if there is
one on the machine: seconds, and hundreds of lines after the one that says why.

Source: `ggml_print_backtrace` in ggml/src/ggml.c.
"""


def cuda_environment(uuids: Sequence[str]) -> Mapping[str, str]:
    """Show an engine exactly these NVIDIA devices, numbered as NVML numbers them."""
    if not uuids:
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(uuids), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
