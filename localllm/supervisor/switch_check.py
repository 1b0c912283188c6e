"""Examines a model that is warm and about to take over; one that is broken is not to.

It asks the engine itself, one request at a time and within a time, while the old one serves on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from localllm.engine_client.client import EngineClient
from localllm.events import Decided, Topic
from localllm.quality.examination import Examination, Voices, Wanted
from localllm.quality.facts import Facts, Speed
from localllm.quality.findings import (
    Finding,
    Weight,
    findings_alone,
    findings_beside,
    tokenizer_drift,
    verdict_of,
)
from localllm.quality.kept import earlier_of, keep, read_kept
from localllm.quality.texts import read_texts
from localllm.supervisor.bus import EventBus
from localllm.supervisor.client_voice import ClientVoice
from localllm.supervisor.examinee import Examinee
from localllm.versioned import NewerFile

_log = logging.getLogger(__name__)

WITHIN_S = {"quick": 60.0, "full": 300.0}
"""A switch takes so much longer at most; what was not come to by then is not held against it."""


@dataclass(frozen=True, slots=True)
class SwitchCheck:
    """Called once per start of one that takes over and whose user wants it.

    Args:
        results: Where results are kept; a disk that is full costs the memory of them alone.
    """

    profiles: Path
    results: Path
    bus: EventBus

    async def __call__(self, examinee: Examinee, client: EngineClient) -> Sequence[str]:
        """Examine it; return why it may not take over."""
        wanted = await anyio.to_thread.run_sync(self._wanted, examinee)
        voice = ClientVoice(client)
        voices = Voices(voice, voice, anthropic=False, name=examinee.serving.alias)
        facts = await Examination(wanted, voices, examinee.tongue).run()
        findings = await anyio.to_thread.run_sync(judged_by_earlier, self.results, facts)
        self._say(examinee, facts, findings)
        return [one.what for one in findings if one.weight is Weight.BROKEN]

    def _wanted(self, examinee: Examinee) -> Wanted:
        speed = examinee.speed
        return Wanted(
            subject=examinee.subject(),
            texts=read_texts(self.profiles),
            quick=examinee.how != "full",
            within_s=WITHIN_S.get(examinee.how, WITHIN_S["quick"]),
            at=time.time(),
            speed=Speed(speed.prefill_tps, speed.decode_tps),
        )

    def _say(self, examinee: Examinee, facts: Facts, findings: Sequence[Finding]) -> None:
        worst = [one.what for one in findings if one.weight is not Weight.NOTE]
        said = f"{verdict_of(findings)} after {facts.took_s:.1f} s"
        why = f"examined before it takes over: {said}{': ' if worst else ''}{' '.join(worst)}"
        about = (examinee.planned.model, examinee.instance)
        self.bus.publish(Decided(Topic.CHECKED, why, *about))


def judged_by_earlier(results: Path, facts: Facts) -> Sequence[Finding]:
    """Judge it alone and by what is remembered of its kind, and keep the result. Blocks.

    By what of another file only the tokenizer counts: it should be the same in every quantization.
    """
    earlier = earlier_of(read_kept(results), facts)
    findings = [*findings_alone(facts), *held_to(facts, earlier)]
    keep_result(results, facts, findings)
    return findings


def held_to(facts: Facts, earlier: Facts | None) -> Sequence[Finding]:
    """Hold a model to an earlier result, of itself or of another quantization."""
    if earlier is None:
        return ()
    if earlier.subject.file == facts.subject.file:
        return findings_beside(facts, earlier)
    return tokenizer_drift(facts.tokenizer, earlier.tokenizer, earlier.subject.id)


def keep_result(results: Path, facts: Facts, findings: Sequence[Finding]) -> None:
    """Keep it, if the disk takes it."""
    try:
        keep(results, facts, verdict_of(findings))
    except (OSError, NewerFile) as error:
        _log.warning("what an examination has found is not kept: %s", error)
