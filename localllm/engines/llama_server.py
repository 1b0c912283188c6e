"""A llama-server, the user's own or one that was fetched: what it is, and how to launch it.

Its flags and devices are asked of it, not assumed: builds differ.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from localllm.engines.base import (
    NO_BACKTRACE,
    SAVES_SLOTS,
    Adapter,
    Drafting,
    Endpoint,
    EngineDevice,
    Installed,
    LaunchSpec,
    Sampling,
    Serving,
    Task,
    abilities_of_build,
    cuda_environment,
    library_environment,
    start_deadline_s,
)
from localllm.engines.diagnosis import diagnose
from localllm.engines.extras import Extra, require_flags, require_plain
from localllm.engines.query import Answer, ask
from localllm.engines.worker_query import kind_of
from localllm.formats.header import Format

_PROGRAMS = ("llama-server", "llama-server-vulkan", "llama-server-cuda")
_REQUIRED = ("--kv-unified", "--cache-ram", "--flash-attn", "--alias")
"""Without these the plan cannot be kept; all came into llama.cpp by the end of 2025."""

_OPTIONAL = {
    "--fit": ("--fit", "off"),
    "--no-ui": ("--no-ui",),
    "--offline": ("--offline",),
    "--metrics": ("--metrics",),
    "--slots": ("--slots",),
}
_CHECKPOINTS = ("--ctx-checkpoints", "--swa-checkpoints")
"""The same thing's new name and its old one."""

_SAVE_PATH, _KEEP_IDLE = "--slot-save-path", "--no-cache-idle-slots"
_DEVICE = re.compile(
    r"^\s+(?P<name>\w+\d+|Metal): (?P<text>.+) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)\s*$",
    re.MULTILINE,
)
_VERSION = re.compile(r"^version: (.+)$", re.MULTILINE)
_BUILD = re.compile(r"\bbuild (\d+)|^(\d+) \(")
"""In '0.1.0-dev (build 11549, commit 7e4c0a9)', and in '10434 (7e4c0a9)' as it was before."""

_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")


class LlamaServer:
    """Any recent build.

    Args:
        program: From the configuration, or of a fetched build; None looks on PATH.
        environment: What the queries see, CUDA_VISIBLE_DEVICES and the like.
        origin: What it is called where it does not say so itself.
        libraries: Folders with shared libraries that it needs.
    """

    name = "llama-server"
    formats = frozenset({Format.GGUF})

    def __init__(
        self,
        program: str | None,
        environment: Mapping[str, str],
        *,
        origin: str | None = None,
        libraries: Sequence[str] = (),
    ) -> None:
        self._program = program
        self._origin = origin
        self._own = library_environment(libraries, environment)
        self._environment = {**environment, **self._own}

    def find(self) -> Installed:
        own = None if self._program is None else os.path.expanduser(self._program)  # noqa: PTH111
        names = _PROGRAMS if own is None else (own,)
        path = self._environment.get("PATH")
        program = next((p for n in names if (p := shutil.which(n, path=path)) is not None), None)
        if program is None:
            why = "no llama-server on PATH" if own is None else f"{own} is no program here"
            return Installed(self.name, None, (), reason=why)
        return self._inspect(program)

    def _inspect(self, program: str) -> Installed:
        questions = ("--help", "--version", "--list-devices")
        with ThreadPoolExecutor(len(questions)) as pool:
            answers = pool.map(lambda q: ask((program, q), self._environment), questions)
            usage, version, listing = answers
        flags = frozenset(_FLAG.findall(usage.text))
        found = _VERSION.search(version.text)
        build = _build(found.group(1)) if found else None
        abilities = flags | _abilities(usage.text, flags) | abilities_of_build(build)
        known = diagnose(listing.text)
        return Installed(
            self.name,
            found.group(1) if found else None,
            (program,),
            parse_devices(listing.text),
            abilities,
            origin=self._origin or program,
            env=self._own,
            hint=None if known is None else known.why,
            reason=_why_not(program, (usage, listing), flags),
        )

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        """Say how to serve.

        Raises:
            EngineUnusable: This build lacks a flag that it takes.
        """
        argv = [
            *found.program,
            *_where(serving, endpoint),
            *_how_much(serving),
            *_on_what(serving),
            *_with_images(serving),
            *_with_extras(serving, found),
            *_with_saved_slots(serving, found),
            *_with_checkpoints(serving, found),
            *_sampling(serving.sampling),
            *_without_mapping(serving, found),
            *(
                word
                for flag, words in _OPTIONAL.items()
                if flag in found.abilities
                for word in words
            ),
            *("--log-verbosity", "4"),
            *serving.engine_args,
        ]
        key = {} if endpoint.key is None else {"LLAMA_API_KEY": endpoint.key}
        return LaunchSpec(
            argv,
            endpoint,
            start_deadline_s(serving),
            env={**found.env, **cuda_environment(serving.uuids), **NO_BACKTRACE, **key},
        )


def parse_devices(listing: str) -> tuple[EngineDevice, ...]:
    """Read the output of `--list-devices`."""
    return tuple(
        EngineDevice(
            m["name"], kind_of(m["name"]), m["text"], int(m["total"]) << 20, int(m["free"]) << 20
        )
        for m in _DEVICE.finditer(listing)
    )


def _build(version: str) -> int | None:
    told = _BUILD.search(version)
    return None if told is None else int(told.group(1) or told.group(2))


def _abilities(usage: str, flags: frozenset[str]) -> frozenset[str]:
    """What its help comes to, beside the flags themselves."""
    socket = {"unix_socket"} if "UNIX socket" in usage else set[str]()
    return frozenset(socket | ({SAVES_SLOTS} if _SAVE_PATH in flags else set()))


def _why_not(program: str, answers: Sequence[Answer], flags: frozenset[str]) -> str | None:
    failures = [a.failure for a in answers if a.failure is not None]
    if failures:
        return failures[0]
    missing = [flag for flag in _REQUIRED if flag not in flags]
    return f"{program} is too old: it lacks {', '.join(missing)}" if missing else None


def _where(serving: Serving, endpoint: Endpoint) -> Sequence[str]:
    listen = (
        ("--host", str(endpoint.socket))
        if endpoint.socket is not None
        else ("--host", "127.0.0.1", "--port", str(endpoint.port))
    )
    return ("--model", str(serving.model_file), "--alias", serving.alias, *listen)


def _how_much(serving: Serving) -> Sequence[str]:
    """Set all that takes memory: what is left to the engine breaks the plan."""
    return (
        *("--ctx-size", str(serving.context), "--parallel", str(serving.parallel), "--kv-unified"),
        *("--cache-type-k", serving.kv_type, "--cache-type-v", serving.kv_type),
        *("--batch-size", str(serving.batch), "--ubatch-size", str(serving.micro_batch)),
        *("--flash-attn", "on"),
        *("--threads", str(serving.threads), "--cache-ram", str(serving.host_cache_bytes >> 20)),
    )


def _without_mapping(serving: Serving, found: Installed) -> Sequence[str]:
    """Load instead of map what the processor computes: repacked weights would be there twice."""
    if serving.whole:
        return ()
    return ("--load-mode", "none") if "--load-mode" in found.abilities else ("--no-mmap",)


def _sampling(sampling: Sampling) -> Sequence[str]:
    stated = {
        "--temp": sampling.temperature,
        "--top-p": sampling.top_p,
        "--top-k": sampling.top_k,
        "--min-p": sampling.min_p,
    }
    return [word for flag, v in stated.items() if v is not None for word in (flag, f"{v:g}")]


def _with_images(serving: Serving) -> Sequence[str]:
    return () if serving.projector_file is None else ("--mmproj", str(serving.projector_file))


def _with_saved_slots(serving: Serving, found: Installed) -> Sequence[str]:
    # else each new request empties all slots but its own
    kept = (_KEEP_IDLE,) if serving.pins_slots and _KEEP_IDLE in found.abilities else ()
    if serving.prefix_folder is None or _SAVE_PATH not in found.abilities:
        return kept
    return (_SAVE_PATH, os.path.join(str(serving.prefix_folder), ""), *kept)  # noqa: PTH118


def _with_checkpoints(serving: Serving, found: Installed) -> Sequence[str]:
    flag = next((flag for flag in _CHECKPOINTS if flag in found.abilities), None)
    return () if flag is None else (flag, str(serving.checkpoints))


def _with_extras(serving: Serving, found: Installed) -> Sequence[str]:
    """What few models are served with; a build that cannot is not served without it."""
    return (
        *_drafting(serving.drafting, found),
        *_adapters(serving.adapters, found),
        *_task(serving, found),
    )


def _drafting(drafting: Drafting | None, found: Installed) -> Sequence[str]:
    if drafting is None:
        return ()
    require_flags(found, Extra.DRAFT)
    argv = [
        *("--spec-type", "draft-mtp" if drafting.file is None else "draft-simple"),
        *("--spec-draft-n-max", str(drafting.tokens)),
        *("--spec-draft-type-k", drafting.kv_type, "--spec-draft-type-v", drafting.kv_type),
    ]
    if drafting.file is not None:
        argv += ["--spec-draft-model", str(drafting.file), "--spec-draft-ngl", str(drafting.layers)]
    if drafting.device is not None:
        argv += ["--spec-draft-device", drafting.device.name]
    return argv


def _adapters(adapters: Sequence[Adapter], found: Installed) -> Sequence[str]:
    if not adapters:
        return ()
    require_flags(found, Extra.ADAPTERS)
    for adapter in adapters:
        require_plain(adapter.file)
    return ("--lora-scaled", ",".join(f"{a.file}:{a.scale:g}" for a in adapters))


def _task(serving: Serving, found: Installed) -> Sequence[str]:
    if serving.task is Task.WRITE:
        return ()
    if serving.task is Task.RERANK:
        require_flags(found, Extra.RERANK)
        return ("--reranking",)
    require_flags(found, Extra.EMBED)
    pooling = () if serving.pooling is None else ("--pooling", serving.pooling)
    return ("--embeddings", *pooling)


def _on_what(serving: Serving) -> Sequence[str]:
    if not serving.devices:
        return ("--device", "none", "--gpu-layers", "0")
    names = ",".join(device.name for device in serving.devices)
    argv = ["--device", names, "--gpu-layers", str(serving.layers_on_device)]
    if len(serving.devices) == 1:
        argv += ["--split-mode", "none"]
    else:
        argv += ["--split-mode", "layer", "--tensor-split", ",".join(map(str, serving.split))]
    if serving.experts_on_host:
        argv += ["--n-cpu-moe", str(serving.experts_on_host)]
    return argv
