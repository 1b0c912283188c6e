"""A few questions with answers that can be checked, and the judges of them. Pure.

They are short: what an engine, a template or a quantization breaks shows in them, how clever a model
is does not. Small models fail some, and their score is information, not a verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localllm.quality.facts import Tried
from localllm.quality.odd_answers import loop_in, markup_in, wrong_with
from localllm.quality.speaking import Reply
from localllm.quality.texts import Texts
from localllm.quality.voice import Body

Judge = Callable[[str], str | None]
"""Says what is wrong with an answer; None: nothing."""

STILL_THINKING = "it was still thinking when its answer was full"
_SHOWN = 200
_CODE = "7349"
_MODEL_TOKENS_PER_BYTE = 0.3
"""Of English, roughly; only the length of the haystack follows from it."""

DETERMINISTIC: Body = {
    "temperature": 0,
    "seed": 1,
    "cache_prompt": False,
    "chat_template_kwargs": {"enable_thinking": False},
}
"""Said with every task. Models that cannot be told not to think do it within the answer's length."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question."""

    name: str
    prompt: str
    judge: Judge
    most_tokens: int = 64
    quick: bool = False

    @property
    def chat(self) -> Body:
        message = {"role": "user", "content": self.prompt}
        return {"messages": [message], "max_tokens": self.most_tokens, **DETERMINISTIC}


def tasks_for(
    texts: Texts, *, quick: bool, context: int, prefill_tps: float | None = None
) -> Sequence[Task]:
    """List the tasks of a check.

    Args:
        context: Tokens that a request may have: needles are hidden as deep as it goes.
        prefill_tps: How fast it reads; None is unknown. No needle is read for for minutes.
    """
    chosen = [task for task in _TASKS if task.quick or not quick]
    lengths = _QUICK_HAYSTACKS if quick else _HAYSTACKS
    most = min(context / 2, _NEEDLE_WITHIN_S * (prefill_tps or math.inf))
    fitting = [tokens for tokens in lengths if tokens <= most]
    return [*chosen, *(_needle(texts, tokens) for tokens in fitting)]


def judge(task: Task, reply: Reply) -> Tried:
    """Judge an answer to a task."""
    if reply.refusal is not None:
        return Tried(task.name, None, reply.refusal)
    answer = reply.text.strip()
    if reply.is_unfinished_thought:
        return Tried(task.name, None, STILL_THINKING)
    wrong = task.judge(answer)
    return Tried(task.name, wrong is None, wrong or "", answer[:_SHOWN])


def contains(text: str) -> Judge:
    """The answer has the text in it, whatever its case."""

    def judged(answer: str) -> str | None:
        return None if text.casefold() in answer.casefold() else f"{text!r} is not in it"

    return judged


def ends_in_number(number: int) -> Judge:
    """The last number of the answer is the one."""

    def judged(answer: str) -> str | None:
        numbers = re.findall(r"-?\d+", answer.replace(",", ""))
        if not numbers:
            return "there is no number in it"
        return None if int(numbers[-1]) == number else f"it says {numbers[-1]}, not {number}"

    return judged


def counts_to(last: int) -> Judge:
    """The numbers from one on stand in it in their order, none left out and none twice."""

    def judged(answer: str) -> str | None:
        numbers = [int(found) for found in re.findall(r"\d+", answer)]
        right = [*range(1, last + 1)]
        return None if numbers == right else f"it counts {numbers[: last + 2]}"

    return judged


def is_list_of(count: int) -> Judge:
    """It is a JSON array of so many texts; a fence around it is let pass."""

    def judged(answer: str) -> str | None:
        bare = re.sub(r"^```\w*\n|\n?```$", "", answer.strip())
        try:
            told = json.loads(bare)
        except ValueError:
            return "it is no JSON"
        if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
            return "it is no array of texts"
        return None if len(told) == count else f"it has {len(told)} entries, not {count}"

    return judged


def is_clean(answer: str) -> str | None:
    """It is text, goes round in no circles, and writes no markup."""
    if (wrong := wrong_with(answer)) is not None:
        return wrong
    if (markup := markup_in(answer)) is not None:
        return f"it writes {markup} as text"
    loop = loop_in(answer)
    return None if loop is None else f"it goes round in circles: {loop}"


MONTHS = "months"
"""The task whose answer is looked at for what no model says, however small."""

_SENTENCE = "The blue kettle holds three litres."
_ORDER = "Order 4821 was sent to Lena Vogt in Graz on the 3rd of May."
_TASKS = (
    Task(MONTHS, "Name the months of the year.", is_clean, 96, quick=True),
    Task(
        "copy",
        f"Repeat this sentence exactly, and say nothing else: {_SENTENCE}",
        contains(_SENTENCE),
        32,
        quick=True,
    ),
    Task(
        "extract",
        f"{_ORDER} Which city was it sent to? Answer with the city only.",
        contains("Graz"),
        24,
        quick=True,
    ),
    Task("add", "What is 17 + 25? Answer with the number only.", ends_in_number(42), 24),
    Task("count", "Count from 1 to 12, separated by commas.", counts_to(12), 64),
    Task(
        "format",
        'Name three colours as a JSON array of three strings, like ["a","b","c"], and nothing else.',
        is_list_of(3),
        48,
    ),
    Task("letter", "Write a short letter to a friend about the sea.", is_clean, 160),
)

_NEEDLE_WITHIN_S = 60.0
_QUICK_HAYSTACKS: Sequence[int] = ()
_HAYSTACKS = (256, 1024, 4096, 16384)


def _needle(texts: Texts, tokens: int) -> Task:
    """Hide a number in the middle of so much text."""
    hay = haystack(texts, round(tokens / _MODEL_TOKENS_PER_BYTE))
    ask = f"The code of the blue door is {_CODE}. Remember it."
    half = hay.find(". ", len(hay) // 2) + 2
    prompt = (
        f"{hay[:half]}{ask} {hay[half:]}\n\nWhat is the code of the blue door? "
        "Answer with the number only."
    )
    return Task(f"needle in {tokens} tokens", prompt, contains(_CODE), 24)


def haystack(texts: Texts, size: int) -> str:
    """Make so many characters of the bundled English, each round of them numbered."""
    english = [one.lead + one.text for one in texts.passages if one.kind == "english"]
    rounds = 1 + size // max(1, sum(map(len, english)))
    told = (f"Part {n + 1}. {text} " for n in range(rounds) for text in english)
    return "".join(told)[:size].rpartition(". ")[0] + ". "
