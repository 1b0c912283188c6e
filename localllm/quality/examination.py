"""Puts all questions to one model, one after the other, within a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from localllm.quality.calls import Case, Judged, cases_for, same_calls
from localllm.quality.facts import Called, Facts, Scored, Speed, Subject, Tokenizer, Tried
from localllm.quality.findings import knows_no_text
from localllm.quality.scoring import CannotScore, score
from localllm.quality.speaking import Reply, say, say_as_message, say_streamed
from localllm.quality.tasks import STILL_THINKING, Task, judge, tasks_for
from localllm.quality.texts import Passage, Texts
from localllm.quality.tokens import Tongue, look_at_tokenizer
from localllm.quality.voice import Body, Voice

_TIMES = 3
"""How often a full check asks for each call: once at temperature 0, then as agents do."""

_WARM = 0.7
_THINKS_FOR_S, _MOST_THOUGHT_TOKENS = 15.0, 2048
"""A model that thinks first has room for as many tokens as it writes meanwhile."""

Telling = Callable[[str], None]
"""Told what is being done, in words for people."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be examined, and how.

    Args:
        within_s: After so long what is left is left out, and the facts say so.
        speed, doubts: What its start has shown.
    """

    subject: Subject
    texts: Texts
    quick: bool
    within_s: float
    at: float
    speed: Speed
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Voices:
    """How it is asked.

    Args:
        engine: Its engine itself, which tells tokens and probabilities.
        public: As clients ask, through the gateway where it is served already.
        anthropic: Whether that speaks Anthropic's API, too.
        name: What the model is called there.
    """

    engine: Voice
    public: Voice
    anthropic: bool
    name: str


@dataclass(slots=True)
class Examination:
    """One; `run` is called once."""

    wanted: Wanted
    voices: Voices
    tongue: Tongue
    telling: Telling = lambda _: None
    _tokenizer: Tokenizer = field(default_factory=Tokenizer)
    _scored: list[Scored] = field(default_factory=list[Scored])
    _unscored: str | None = None
    _tried: list[Tried] = field(default_factory=list[Tried])
    _called: list[Called] = field(default_factory=list[Called])
    _doing: str = "the tokenizer"
    _thinks: bool = False
    """Whether an answer was full of thoughts alone."""

    async def run(self) -> Facts:
        """Examine.

        Raises:
            Silent: The engine does not answer any more.
        """
        begun = anyio.current_time()
        with anyio.move_on_after(self.wanted.within_s) as limit:
            await self._all()
        took_s = anyio.current_time() - begun
        late = f"{self.wanted.within_s:.0f} s were over at {self._doing}"
        return self._facts(took_s, late if limit.cancelled_caught else None)

    async def _all(self) -> None:
        wanted = self.wanted
        self._begin("the tokenizer")
        has_template = wanted.subject.has_template
        self._tokenizer = await look_at_tokenizer(
            self.voices.engine, self.tongue, wanted.texts.tokenizer, has_template=has_template
        )
        await self._read(wanted.texts.for_check(quick=wanted.quick))
        if has_template and not knows_no_text(self._scored, wanted.subject.parameters):
            await self._question()

    async def _question(self) -> None:
        wanted = self.wanted
        tasks = tasks_for(
            wanted.texts,
            quick=wanted.quick,
            context=wanted.subject.context,
            prefill_tps=wanted.speed.prefill_tps,
        )
        for task in tasks:
            await self._try(task)
        knows_tools = self._tokenizer.knows_tools
        for case in cases_for(quick=wanted.quick, knows_tools=knows_tools):
            await self._call(case)

    async def _read(self, passages: Sequence[Passage]) -> None:
        for passage in passages:
            self._begin(f"the text {passage.name!r}")
            try:
                self._scored.append(await score(self.voices.engine, self.tongue, passage))
            except CannotScore as error:
                self._unscored = str(error)
                return

    async def _try(self, task: Task) -> None:
        self._begin(f"the task {task.name!r}")
        self._tried.append(judge(task, await self._say(task.chat)))

    async def _say(self, chat: Body) -> Reply:
        """Ask; one that is found to think first is asked again, with room for that."""
        reply = await say(self.voices.public, self.voices.name, self._with_room(chat))
        if reply.is_unfinished_thought and not self._thinks:
            self._thinks = True
            reply = await say(self.voices.public, self.voices.name, self._with_room(chat))
        return reply

    def _with_room(self, chat: Body) -> Body:
        wanted, said = self.wanted, chat["max_tokens"]
        assert isinstance(said, int), "tasks.py and calls.py have it so"
        within = min(_THINKS_FOR_S * (wanted.speed.decode_tps or 0.0), wanted.subject.context / 2)
        room = int(min(within, _MOST_THOUGHT_TOKENS)) if self._thinks else 0
        return {**chat, "max_tokens": said + room}

    async def _call(self, case: Case) -> None:
        self._begin(f"the call of {case.name}")
        public, name = self.voices.public, self.voices.name
        first = await self._say(case.chat)
        replies = [first]
        for seed in range(1, 1 if self.wanted.quick else _TIMES):
            warm = {**case.chat, "temperature": _WARM, "seed": 1 + seed}
            replies.append(await self._say(warm))
        self._called.append(_count(case, "openai", replies))
        streamed = await say_streamed(public, name, self._with_room(case.chat))
        self._called.append(_streamed(case, first, streamed))
        if case.as_message and self.voices.anthropic:
            message = await say_as_message(public, name, self._with_room(case.chat))
            self._called.append(_count(case, "anthropic", [message]))

    def _begin(self, what: str) -> None:
        self._doing = what
        self.telling(what)

    def _facts(self, took_s: float, cut_short: str | None) -> Facts:
        wanted = self.wanted
        return Facts(
            subject=wanted.subject,
            texts_version=wanted.texts.version,
            quick=wanted.quick,
            at=wanted.at,
            took_s=took_s,
            tokenizer=self._tokenizer,
            scored=tuple(self._scored),
            unscored=self._unscored,
            tried=tuple(self._tried),
            called=tuple(self._called),
            speed=wanted.speed,
            doubts=wanted.doubts,
            cut_short=cut_short,
        )


def _count(case: Case, api: str, replies: Sequence[Reply]) -> Called:
    judged = [case.judge(reply) for reply in replies if not reply.is_unfinished_thought]
    return Called(
        name=case.name,
        api=api,
        asked=len(judged),
        valid=sum(one.valid for one in judged),
        right=sum(one.right for one in judged),
        forced=case.forced,
        why=next((one.why for one in judged if one.why), "") if judged else STILL_THINKING,
    )


def _streamed(case: Case, whole: Reply, streamed: Reply) -> Called:
    """Count a streamed answer; one that differs from the whole one has not the right form."""
    told = _count(case, "openai streamed", [streamed])
    judged: Judged = case.judge(whole)
    if judged.valid and told.valid and not same_calls(whole, streamed):
        return Called(
            case.name, told.api, 1, 0, 0, case.forced, "its calls differ from the whole's"
        )
    return told
