"""Proves a build: it loads a tiny model on a device, answers a prompt, and says where the model is.

What only shows when something is computed shows here, and not after a download of 40 GB: a build
without this card's code, a driver too old, a library that is missing, a processor too old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localllm.engines.base import Engine, EngineDevice, Installed, Serving
from localllm.engines.diagnosis import diagnose
from localllm.engines.load_log import misplaced, parse_load_log
from localllm.engines.short_run import RunFailed, short_run
from localllm.errors import EngineUnusable

MODEL = "trial.gguf"
_LAYERS = 3
"""Of the trial model: two blocks and what comes after them."""

_DEADLINE_S = 300.0
"""Code that a card's driver has to translate first takes minutes, once."""

_PROMPT = {"prompt": "a trial", "max_tokens": 4}
"""No chat: what random weights say is not always what a chat's parser takes."""

_SHOWN_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine on one device."""

    engine: Engine
    found: Installed
    device: EngineDevice | None
    """None: the processor."""

    @property
    def place(self) -> str:
        return "the processor" if self.device is None else self.device.description

    def serving(self, model: Path) -> Serving:
        return Serving(
            model_file=model,
            file_bytes=model.stat().st_size,
            alias="trial",
            context=256,
            parallel=1,
            kv_type="f16",
            micro_batch=64,
            threads=2,
            host_cache_bytes=0,
            devices=() if self.device is None else (self.device,),
            split=() if self.device is None else (_LAYERS,),
            layers=_LAYERS,
        )


def prove(trial: Trial, model: Path, environment: Mapping[str, str]) -> None:
    """Run it, and end it again.

    Args:
        model: The trial model's file.

    Raises:
        EngineUnusable: It does not start, does not answer, or computes elsewhere.
    """
    serving = trial.serving(model)
    wrong: str | None = None
    with short_run(trial.engine, trial.found, serving, environment) as run:
        try:
            run.wait_until_ready(_DEADLINE_S)
            run.post("/v1/completions", _PROMPT)
        except RunFailed as failed:
            wrong = str(failed)
        said = run.log()
    wrong = wrong or misplaced(parse_load_log(said), serving)
    if wrong is not None:
        raise _unusable(trial, wrong, said)


def _unusable(trial: Trial, wrong: str, said: str) -> EngineUnusable:
    known = diagnose(f"{said[-_SHOWN_BYTES:]}\n{wrong}")
    lines = said.strip().splitlines()
    last = f"; its last words: {lines[-1].strip()}" if lines else ""
    name = " ".join(filter(None, (trial.found.engine, trial.found.version)))
    return EngineUnusable(
        f"{name} does not run on {trial.place}.",
        why=f"{known.why} ({wrong})" if known is not None else wrong + last,
        fix=known.fix if known is not None else "localllm engine list shows what else there is",
    )
