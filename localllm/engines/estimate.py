"""Asks an engine what a model would take here, from its header alone: llama.cpp's own answer.

The engine is started as it would be to serve, with the model's file or a sparse one with its
header (`sparse.py`), measures without reading weights, and is killed before it loads anything.
It does open its devices for that second: a CUDA context and the state of recurrent layers are
really allocated.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Timer
from typing import IO

from localllm.engines.base import Endpoint, Installed, LaunchSpec, Serving
from localllm.engines.estimate_log import (
    Answered,
    NoEstimate,
    parse_estimate,
    until_measured,
)
from localllm.engines.llama_server import LlamaServer
from localllm.engines.sparse import Part, write_sparse
from localllm.engines.tied import kill_tied, start_tied
from localllm.engines.xllamacpp import Xllamacpp
from localllm.units import how_it_ended

DEADLINE_S = 10.0
"""The longest estimate seen took 3.4 s: a vocabulary of 262,144 on two busy cores."""

MAX_LOG_CHARACTERS = 64 << 20
"""A bound against an engine that talks for ever; a model of 64 layers makes a million."""

_LONGEST_SOCKET = 100
"""Bytes in a socket's path; macOS takes 103, Linux 107."""

_WORKER = "localllm.engines.workers.estimate"


@dataclass(frozen=True, slots=True)
class Question:
    """How to ask an engine."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to the environment of whoever asks."""


def estimate(
    found: Installed,
    serving: Serving,
    environment: Mapping[str, str],
    *,
    parts: Sequence[Part] = (),
    deadline_s: float = DEADLINE_S,
) -> Answered:
    """Ask for every buffer that serving the model so would allocate.

    Args:
        found: The engine to ask.
        serving: What it would serve; of `model_file` only the header is read.
        environment: What the engine sees, beside what names its devices.
        parts: Headers to ask about instead of `model_file`, for a model that is not here.
        deadline_s: After that it counts as having no answer.
    """
    if (reason := _why_not(found)) is not None:
        return NoEstimate(reason)
    try:
        with tempfile.TemporaryDirectory(prefix="localllm-") as folder:  # made with mode 0700
            file = write_sparse(parts, Path(folder)) if parts else serving.model_file
            asked = question(found, replace(serving, model_file=file), Path(folder))
            return _listen(asked, environment, deadline_s)
    except OSError as error:
        return NoEstimate(f"it cannot be asked: {error.strerror}")


def question(found: Installed, serving: Serving, folder: Path) -> Question:
    """Say how to ask: as to serve, but measured, aloud, and with a socket in `folder`."""
    alone = replace(
        serving, projector_file=None, drafting=None, adapters=(), engine_args=(), checkpoints=0
    )
    spec = _launch(found, alone, _endpoint(found, folder))
    if found.engine == Xllamacpp.name:
        return Question((sys.executable, "-P", "-m", _WORKER, spec.argv[-1]), spec.env)
    mapped = ("--load-mode", "mmap") if "--load-mode" in found.abilities else ("--mmap",)
    # of a flag given twice the later counts; a load that were begun all the same would only map
    more = ("--fit", "on", "--no-warmup", *mapped, "--log-verbosity", "5")
    return Question((*spec.argv, *more), spec.env)


def _why_not(found: Installed) -> str | None:
    if found.reason is not None:
        return found.reason
    if found.engine == LlamaServer.name and "--fit" not in found.abilities:
        return "this llama-server is too old to measure a model without loading it"
    if found.engine not in (LlamaServer.name, Xllamacpp.name):
        return f"{found.engine} cannot measure a model without loading it"
    return None


def _endpoint(found: Installed, folder: Path) -> Endpoint:
    """Say where it listens, since it does; nobody will talk to it."""
    socket = folder / "e.sock"
    if "unix_socket" in found.abilities and len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return Endpoint(socket=socket)
    return Endpoint(port=0, key=secrets.token_hex(16))


def _launch(found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
    engine = Xllamacpp({}) if found.engine == Xllamacpp.name else LlamaServer(None, {})
    return engine.launch(found, serving, endpoint)


def _listen(asked: Question, environment: Mapping[str, str], deadline_s: float) -> Answered:
    """Run the engine for as long as it measures; it and all it started is gone afterwards."""
    child = start_tied(asked.argv, {**environment, **asked.env}, subprocess.PIPE)
    late = Event()
    timer = Timer(deadline_s, _end, (child, late))
    timer.start()
    try:
        assert child.stdout is not None
        text = "".join(until_measured(_bounded(child.stdout)))
    finally:
        timer.cancel()
        timer.join()
        kill_tied(child)
        child.communicate()
    return _judge(parse_estimate(text), child.returncode, late=late.is_set())


def _judge(answered: Answered, status: int, *, late: bool) -> Answered:
    """Say why there is no answer, as far as it is known; every engine that gave one was killed."""
    if not isinstance(answered, NoEstimate):
        return answered
    if late:
        return NoEstimate("it did not answer in time")
    return answered if status == -signal.SIGKILL else NoEstimate(how_it_ended(status))


def _bounded(log: IO[str]) -> Iterator[str]:
    left = MAX_LOG_CHARACTERS
    while left > 0 and (line := log.readline(left)):
        left -= len(line)
        yield line


def _end(child: subprocess.Popen[str], late: Event) -> None:
    late.set()
    kill_tied(child)
