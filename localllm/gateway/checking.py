"""Examines models when it is asked to, one check at a time, beside what is served.

A model that is served is asked where it is, in turn with everybody's requests. One that is not is
served for as long as it takes, beside the others; in their place only if that was asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from localllm import __version__
from localllm.api.check_views import CheckReportView, CheckRequest, CheckView
from localllm.engine_client.client import EngineClient, Speed
from localllm.engines.base import LaunchSpec
from localllm.errors import Busy, EngineGone, LocalLLMError, NotFound
from localllm.events import Topic
from localllm.gateway.access import Rules
from localllm.gateway.asking import PASSING
from localllm.gateway.check_guests import CheckGuests
from localllm.gateway.check_steps import Run
from localllm.gateway.engine_voice import EngineVoice
from localllm.gateway.placing import Placing
from localllm.paths import bundled_profiles
from localllm.quality import facts as told
from localllm.quality.examination import Examination, Voices, Wanted
from localllm.quality.facts import Facts
from localllm.quality.findings import Finding, findings_alone, findings_beside, verdict_of
from localllm.quality.kept import earlier_of, read_kept, result_of
from localllm.quality.rendering import render_report
from localllm.quality.texts import Texts, read_texts
from localllm.quality.voice import Silent
from localllm.supervisor.client_voice import ClientVoice
from localllm.supervisor.examinee import Examinee, identity_of_file
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Lending
from localllm.supervisor.operations import Operations
from localllm.supervisor.second_opinion import second_opinion
from localllm.supervisor.switch_check import held_to, keep_result
from localllm.supervisor.visiting import name_of

_log = logging.getLogger(__name__)

_WITHIN_S = {True: 300.0, False: 1800.0}
"""By whether it is quick; a slow machine has what it came to by then."""


@dataclass(slots=True)
class Checks:
    """Mutable: knows the check under way, or the last one.

    Args:
        profiles: Where the bundled texts are.
        gateway: Makes a client of the gateway itself, to ask as clients do.
        unwatched_s: A check that is to go on only while somebody looks at it ends after so long.
    """

    operations: Operations
    lending: Lending
    placing: Placing
    profiles: Path
    gateway: Callable[[], EngineClient]
    unwatched_s: float = 30.0
    _run: Run | None = None
    _wanted: anyio.Event = field(default_factory=anyio.Event)

    def start(self, request: CheckRequest) -> CheckView:
        """Begin one.

        Raises:
            Busy: Another one is under way.
        """
        if self._run is not None and not self._run.is_over:
            raise Busy(
                "A check is under way.",
                why=f"{self._run.request.model} is being examined: {self._run.doing}",
                fix="wait for its end, or press Ctrl-C where it was started",
            )
        number = 1 if self._run is None else self._run.number + 1
        self._run = Run(number, request, seen_at=anyio.current_time())
        self._wanted.set()
        return self._run.view()

    def show(self) -> CheckView:
        """Tell of the one under way, or the last one.

        Raises:
            NotFound: There was none.
        """
        if self._run is None:
            raise NotFound(
                "There was no check.",
                why="none has been started since the daemon runs",
                fix="localllm check MODEL",
            )
        self._run.seen_at = anyio.current_time()
        return self._run.view()

    def cancel(self) -> None:
        """End the one under way, if there is one."""
        if self._run is not None:
            self._run.scope.cancel()

    async def run(self) -> None:
        """Carry out what is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            run = self._run
            assert run is not None, "it was asked for"
            with run.scope:
                async with anyio.create_task_group() as tasks:
                    if run.request.while_watched:
                        tasks.start_soon(self._end_unwatched, run)
                    await self._carry_out(run)
                    tasks.cancel_scope.cancel()
            if not run.is_over:
                run.error = _called_off(run)

    async def _end_unwatched(self, run: Run) -> None:
        while anyio.current_time() < (until := run.seen_at + self.unwatched_s):
            await anyio.sleep_until(until)
        run.scope.cancel()

    async def _carry_out(self, run: Run) -> None:
        try:
            run.report = await self._report(run)
        except LocalLLMError as error:
            run.error = error
        except Silent as error:
            run.error = EngineGone(
                f"{run.request.model} was not examined to the end.",
                why=str(error),
                fix=f"localllm logs {run.request.model}, then localllm check again",
            )
        except Exception as error:  # noqa: BLE001  # a check must not end what serves
            _log.exception("a check has failed: model=%s", run.request.model)
            run.error = LocalLLMError(
                "The check has failed.", why=f"{type(error).__name__}: {error}", fix="localllm logs"
            )

    async def _report(self, run: Run) -> CheckReportView:
        request = run.request
        texts = await anyio.to_thread.run_sync(read_texts, self.profiles)
        # the other first: mostly it is known already, and if it cannot be had, no time is lost
        right = None if request.against is None else await self._other(run, request.against, texts)
        facts = await self._examined(run, request.model, texts)
        found: list[Finding] = [*findings_alone(facts)]
        results = self.operations.desk.paths.checks
        if right is None:
            other = earlier_of(await anyio.to_thread.run_sync(read_kept, results), facts)
            found += held_to(facts, other)
        else:
            other = right
            found += findings_beside(facts, right)
        await anyio.to_thread.run_sync(keep_result, results, facts, found)
        verdict = f"{facts.subject.id} was examined: {verdict_of(found)}"
        self.operations.fleet.say(Topic.CHECKED, verdict)
        return render_report(facts, other, found, is_earlier=request.against is None)

    async def _other(self, run: Run, name: str, texts: Texts) -> Facts:
        """What another model is like: as it was found to be, if its file is the same still."""
        if not run.request.fresh:
            results = self.operations.desk.paths.checks
            kept = await anyio.to_thread.run_sync(read_kept, results)
            served = CheckGuests(self.operations).served(name)
            file = await anyio.to_thread.run_sync(self._file_of, name, served)
            known = result_of(kept, name=name, file=file, quick=run.request.quick)
            if known is not None and known.texts_version == texts.version:
                run.tell(f"{known.subject.id}: as it was examined {_ago(known.at)}")
                return known
        facts = await self._examined(run, name, texts)
        found: Sequence[Finding] = findings_alone(facts)
        await anyio.to_thread.run_sync(keep_result, self.operations.desk.paths.checks, facts, found)
        return facts

    def _file_of(self, name: str, served: Hosted | None) -> str | None:
        """Tell a model's file from others; None where it is not here any more."""
        if served is not None:
            return identity_of_file(served.planned.stored.file)
        try:
            return identity_of_file(self.operations.desk.find(name).file)
        except LocalLLMError:
            return None

    async def _examined(self, run: Run, name: str, texts: Texts) -> Facts:
        async with CheckGuests(self.operations).at_hand(run, name) as hosted:
            return await self._examine(run, hosted, texts)

    async def _examine(self, run: Run, hosted: Hosted, texts: Texts) -> Facts:
        name, quick = name_of(hosted), run.request.quick
        measured = hosted.runner.measured
        speed = None if measured is None else measured.speed
        examinee = Examinee(
            hosted.planned, hosted.serving, hosted.id, "", speed or Speed(0.0, None, 0)
        )
        engine = EngineVoice(self.lending, self.placing, hosted)
        wanted = Wanted(
            subject=await anyio.to_thread.run_sync(examinee.subject, name),
            texts=texts,
            quick=quick,
            within_s=_WITHIN_S[quick],
            at=time.time(),
            speed=told.Speed()
            if speed is None
            else told.Speed(speed.prefill_tps, speed.decode_tps),
            doubts=await self._doubts(engine, examinee, name),
        )
        async with self.gateway() as client:
            voices = Voices(engine, ClientVoice(client), anthropic=True, name=hosted.id)
            telling = lambda what: run.tell(f"{name}: {what}")  # noqa: E731
            return await Examination(wanted, voices, examinee.tongue, telling).run()

    async def _doubts(self, engine: EngineVoice, examinee: Examinee, name: str) -> tuple[str, ...]:
        """What was odd when it was started, and what is known of its tokenizer beside it."""
        measured = engine.hosted.runner.measured
        speaks = examinee.planned.header.has_chat_template  # else nothing follows from its answer
        started = measured.doubts if measured is not None and speaks else ()
        opinion = await second_opinion(self.operations.desk, engine, examinee, name)
        return tuple(dict.fromkeys([*started, *opinion]))


def checks_of(
    operations: Operations,
    connect: Callable[[LaunchSpec], EngineClient],
    placing: Placing,
    rules: Callable[[], Rules],
) -> Checks:
    """Put them together.

    Args:
        rules: With the token for asking the gateway itself.
    """
    desk = operations.desk
    lending = Lending(
        operations.fleet,
        connect,
        operations.orders.load,
        lambda: desk.settings.supervision.max_requests,
    )

    def ourselves() -> EngineClient:
        url = operations.endpoint.removesuffix("/v1")
        said = {"User-Agent": f"localllm-check/{__version__}", PASSING: "1"}
        return EngineClient(url, socket=None, key=rules().token, said=said)

    return Checks(operations, lending, placing, bundled_profiles(), ourselves)


def _called_off(run: Run) -> LocalLLMError:
    return LocalLLMError(
        f"The check of {run.request.model} was called off.",
        why="somebody has ended it, whoever asked for it has gone, or the daemon stops",
        fix=f"localllm check {run.request.model}",
    )


def _ago(at: float) -> str:
    minutes = (time.time() - at) / 60
    if minutes < 90:  # noqa: PLR2004
        return f"{minutes:.0f} min ago"
    hours = minutes / 60
    return f"{hours:.0f} h ago" if hours < 48 else f"{hours / 24:.0f} days ago"  # noqa: PLR2004
