"""What plans turned out to be on this machine, kept to correct the next ones.

One file of the newest measurements. What is measured goes before what is predicted: of the same
plan all of it, of the same file on the same devices in another setting the speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from localllm.fit.plan import Memory, Plan
from localllm.fit.speed import Speed
from localllm.formats.header import Header
from localllm.planning.choice import Choice
from localllm.versioned import Kind, read_if_known, write_versioned

FORMAT = 1
KEPT = 500
LOCK_WITHIN_S = 5.0
LONG_PROMPT_TOKENS = 512
"""A shorter prompt does not fill a micro batch, and says little of how fast a long one is read."""


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What decides how much memory a model takes, and how fast it is."""

    engine: str
    version: str | None
    quant: str | None
    file_bytes: int
    architecture: str
    devices: tuple[str, ...]
    """Names of those with layers; none: the processor alone."""

    layers: tuple[int, ...]
    """On each of the placement's devices, the host last."""

    experts_on_host: int
    context: int
    parallel: int
    kv_type: str
    micro_batch: int
    beside: str | None = None
    """What else there is that counts: a draft, adapters, flags of the user's own; None: nothing."""

    def same_speed(self, other: Setting) -> bool:
        """Whether one stream would be as fast: the rest of a setting hardly counts for it."""
        return self._file_and_place() == other._file_and_place()

    def _file_and_place(self) -> tuple[object, ...]:
        file = (self.engine, self.quant, self.file_bytes, self.architecture)
        return (*file, self.devices, self.layers, self.experts_on_host, self.beside)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One start of one model."""

    setting: Setting
    predicted_bytes: int
    measured_bytes: int | None
    """What the engine's log adds up to; None where it said nothing."""

    decode_tps: float | None
    prefill_tps: float | None
    at: float
    """When: seconds since 1970."""

    prompt_tokens: int | None = None
    """Of the prompt that `prefill_tps` was measured with; None where nobody counted."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    entries: list[Entry]


KIND = Kind("what plans turned out to be", _File, FORMAT)


def read_ledger(file: Path) -> Sequence[Entry]:
    """Read all measurements, the newest last; none if the file is missing, broken or foreign.

    Changes nothing on disk: a plan may be asked for while a daemon writes.
    """
    read = read_if_known(file, KIND)
    return () if read is None else tuple(read.entries)


def remember(file: Path, entry: Entry) -> None:
    """Add a measurement, in the place of an older one of the same setting.

    A file that is there and cannot be read is set aside as NAME.broken.

    Raises:
        NewerFile: A later version has written it; it stays.
        OSError: The disk is full, or not to be written; or nobody lets go of the lock.
    """
    from filelock import FileLock  # noqa: PLC0415  # 30 ms that commands which only read save

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock"), timeout=LOCK_WITHIN_S):
        others = [e for e in read_ledger(file) if e.setting != entry.setting]
        write_versioned(file, KIND, _File(FORMAT, [*others, entry][-KEPT:]))


def best_known(entries: Sequence[Entry], setting: Setting) -> Entry | None:
    """Find what is known of a plan: its own last run, else one as fast in another setting.

    Of the other one the speed alone holds; so it is one that has a speed.
    """
    newest_first = list(reversed(entries))
    same = (e for e in newest_first if e.setting == setting)
    alike = (e for e in newest_first if e.decode_tps and e.setting.same_speed(setting))
    return next(same, None) or next(alike, None)


def in_the_log(memory: Memory) -> int:
    """What of a plan's memory an engine's log speaks of."""
    return memory.total - memory.overhead - memory.projector - memory.checkpoints


def excess_bytes(known: Entry | None, setting: Setting) -> int:
    """What a start of this very plan took beyond what was predicted; 0 where nothing."""
    if known is None or known.setting != setting or known.measured_bytes is None:
        return 0
    return max(0, known.measured_bytes - known.predicted_bytes)


def corrected(plan: Plan, known: Entry | None) -> Plan:
    """Put a measured speed in the place of the predicted one.

    At a full cache, where nobody measured, the prediction is scaled by as much. Reading a
    prompt stays predicted, and a range, where no long one was measured.
    """
    if known is None or not known.decode_tps:
        return plan
    measured = Speed(
        decode_tps=known.decode_tps,
        decode_full_tps=_scaled_full(plan.speed, known.decode_tps),
        decode_low_tps=None,
        decode_high_tps=None,
        prefill_tps=known.prefill_tps,
        measured=True,
    )
    predicted = None if plan.speed is None else plan.speed.prefill_tps
    if plan.speed is not None and predicted is not None and not _read_a_long_prompt(known):
        measured = _with_prefill_of(plan.speed, measured)
    return replace(plan, speed=measured)


def setting_of(plan: Plan, header: Header, choice: Choice, *, beside: str | None = None) -> Setting:
    """What of a plan a measurement is kept under."""
    used = {p.device for p in plan.placement if p.layers}
    return Setting(
        engine=choice.installed.engine,
        version=choice.installed.version,
        quant=header.quantization,
        file_bytes=header.file_bytes,
        architecture=header.architecture,
        devices=tuple(device.name for device in choice.devices if device.id in used),
        layers=tuple(p.layers for p in plan.placement),
        experts_on_host=plan.experts_on_host,
        context=plan.context,
        parallel=plan.parallel,
        kv_type=plan.kv_type,
        micro_batch=plan.micro_batch,
        beside=beside,
    )


def _read_a_long_prompt(known: Entry) -> bool:
    return known.prefill_tps is not None and (known.prompt_tokens or 0) >= LONG_PROMPT_TOKENS


def _scaled_full(predicted: Speed | None, decode_tps: float) -> float | None:
    if predicted is None or predicted.decode_full_tps is None:
        return None
    return predicted.decode_full_tps * decode_tps / predicted.decode_tps


def _with_prefill_of(predicted: Speed, measured: Speed) -> Speed:
    return replace(
        measured,
        prefill_tps=predicted.prefill_tps,
        prefill_low_tps=predicted.prefill_low_tps,
        prefill_high_tps=predicted.prefill_high_tps,
    )
