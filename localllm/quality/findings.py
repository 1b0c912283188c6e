"""What the facts of an examination say: ok, worse or broken, and why. Pure.

A model is broken by what no model in order does, however small: an answer that is none, numbers
that are none, a tokenizer that cuts differently, a text it has no idea of. How clever it is is told,
and judged only beside another one.

Where the bounds come from (docs/check.md has the table): llama.cpp, tools/perplexity/README.md, for
Llama-3-8B, divergence from f16 and growth of the perplexity: Q4_K_M .028 and 2.4%, Q3_K_M .084 and 8%,
IQ3_XXS .18, Q2_K .33 and 39%, IQ2_XXS .81, IQ1_S 2.2. Bits per byte: SmolLM2-135M, the smallest model
of the catalog, needs 0.96 for the bundled English, and 3.8 with six of its thirty layers scrambled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from localllm.quality.facts import Called, Facts, Scored, Tokenizer, Tried
from localllm.quality.odd_answers import markup_in, wrong_with
from localllm.quality.perplexity import Beside, beside, foresight_of, lost_tokens
from localllm.quality.tasks import MONTHS
from localllm.quality.tokens import undated

_LARGE_PARAMETERS = 3_000_000_000
_SMALL_BITS, _LARGE_BITS = 2.0, 1.6
"""Bits per byte of the bundled English beyond which a model has no idea of it."""

_WORSE_NATS, _BROKEN_NATS = 0.02, math.log(2)
"""Growth of the perplexity, noise taken off: 2% is beyond Q5_K_M, twice is beyond IQ2_XXS."""

_WORSE_DIVERGENCE, _BROKEN_DIVERGENCE = 0.10, 1.5
"""Beyond Q3_K_M, and nearly IQ1_S."""

_WORSE_BITS = 1.10
"""Of bits per byte, for models with different tokenizers, where nothing can be compared in pairs."""

_WORSE_TASKS = 3
"""So many more lost than won: at temperature 0 one or two turn by a hair."""

_SLOWER = 0.75
_SURE = 2.0
"""Standard errors."""


class Weight(IntEnum):
    """How bad it is."""

    NOTE = 0
    WORSE = 1
    BROKEN = 2


VERDICTS = {Weight.NOTE: "ok", Weight.WORSE: "worse", Weight.BROKEN: "broken"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for people."""

    weight: Weight
    what: str


def verdict_of(findings: Sequence[Finding]) -> str:
    """Sum up: ok, worse or broken."""
    return VERDICTS[max((one.weight for one in findings), default=Weight.NOTE)]


def findings_alone(facts: Facts) -> Sequence[Finding]:
    """Judge a model by itself."""
    found = (_started(facts), _tokenizer(facts), _texts(facts), _answers(facts), _calls(facts))
    return [one for some in found for one in some]


def findings_beside(facts: Facts, other: Facts) -> Sequence[Finding]:
    """Judge it by another one, whose results are taken for right."""
    name = other.subject.id
    alike = facts.subject.tokenizer_key == other.subject.tokenizer_key
    drift = tokenizer_drift(facts.tokenizer, other.tokenizer, name) if alike else ()
    found = (
        drift,
        _foresight_beside(facts, other, alike=alike),
        _tasks_beside(facts.tried, other.tried, name),
        _calls_beside(facts.called, other.called, name),
        _speed_beside(facts, other),
    )
    return [one for some in found for one in some]


def tokenizer_drift(tokenizer: Tokenizer, other: Tokenizer, name: str) -> Sequence[Finding]:
    """Compare what should be the same to the last token."""
    return [
        *_cut_differently(tokenizer, other, name),
        *_written_differently(tokenizer, other, name),
    ]


def _cut_differently(one: Tokenizer, other: Tokenizer, name: str) -> Iterator[Finding]:
    if one.ids is None or other.ids is None or one.ids == other.ids:
        return
    both = enumerate(zip(one.ids, other.ids, strict=False))
    at = next((i for i, (a, b) in both if a != b), min(len(one.ids), len(other.ids)))
    yield _broken(
        f"Its tokenizer cuts a fixed text into other tokens than {name}'s, from the "
        f"{_nth(at + 1)} on ({len(one.ids)} in all, {len(other.ids)} there)."
    )


def _written_differently(one: Tokenizer, other: Tokenizer, name: str) -> Iterator[Finding]:
    shared = [chat for chat in one.chats if chat in other.chats]
    differ = [chat for chat in shared if undated(one.chats[chat]) != undated(other.chats[chat])]
    if differ:
        yield _worse(
            f"Its chat template writes a fixed {differ[0]} differently from {name}'s"
            f" ({len(differ)} of {len(shared)} differ)."
        )


def _started(facts: Facts) -> Iterator[Finding]:
    for doubt in facts.doubts:
        yield _broken(doubt)
    if facts.cut_short is not None:
        yield _note(f"It was not examined to the end: {facts.cut_short}.")


def _tokenizer(facts: Facts) -> Iterator[Finding]:
    tokenizer = facts.tokenizer
    if tokenizer.joined is False:
        yield _broken("Its tokenizer does not give a fixed text back as it was.")
    if tokenizer.missing:
        yield _broken(
            "Its chat template leaves out what was said, or changes the order "
            f"({'; '.join(tokenizer.missing)})."
        )
    for name, why in tokenizer.refused.items():
        weight = Weight.BROKEN if name == "question" else Weight.NOTE
        yield Finding(weight, f"Its chat template does not take a fixed {name}: {why}")
    if not facts.subject.has_template:
        yield _note("It brings no chat template, as base models do: it was asked no questions.")
    if tokenizer.knows_tools is False:
        yield _note("Its chat template knows no tools: it was asked to call none.")
    if tokenizer.markup_tokens == 0:
        yield _note(
            "The marks of its chat template are plain text to its tokenizer, as with the template "
            "of another model."
        )


def knows_no_text(scored: Sequence[Scored], parameters: int | None) -> bool:
    """Tell whether it foresees neither English nor code as a model of its size does."""
    known = (foresight_of(scored, kind) for kind in ("english", "code"))
    bits = [one.bits_per_byte for one in known if one is not None]
    return bool(bits) and min(bits) > _most_bits(parameters)


def _most_bits(parameters: int | None) -> float:
    return _SMALL_BITS if (parameters or 0) < _LARGE_PARAMETERS else _LARGE_BITS


def _texts(facts: Facts) -> Iterator[Finding]:
    if (lost := lost_tokens(facts.scored)) > 0:
        yield _broken(
            f"For {lost} tokens of the texts its probabilities are no numbers, as with broken weights."
        )
    english, most = foresight_of(facts.scored, "english"), _most_bits(facts.subject.parameters)
    if english is None or english.bits_per_byte <= most:
        return
    said = (
        f"It needs {english.bits_per_byte:.2f} bits for a byte of plain English, where a model of "
        f"its size in order needs less than {most:.1f}"
    )
    if knows_no_text(facts.scored, facts.subject.parameters):
        yield _broken(f"{said}: the text means nothing to it.")
        if not facts.tried:
            yield _note("It was asked no questions after that.")
    else:
        yield _note(f"{said}; but it knows code, so it may be made for another language.")


def _answers(facts: Facts) -> Iterator[Finding]:
    judged = [one for one in facts.tried if one.passed is not None]
    for one in judged:
        wrong = wrong_with(one.answer)
        if one.name == MONTHS and wrong is not None:
            yield _broken(f"It answered a simple question with {wrong}.")
        if (markup := markup_in(one.answer)) is not None:
            yield _broken(f"It writes {markup} into its answer as text ({one.name}).")
    nothing = sum(wrong_with(one.answer) is not None for one in judged)
    if nothing > len(judged) / 2:
        yield _broken(f"To {nothing} of {len(judged)} questions it gave no answer that is one.")
    if facts.tried and not judged:
        yield _note(f"None of its answers could be judged: {facts.tried[0].why}")
    loops = [one.name for one in judged if "in circles" in one.why]
    if loops:
        yield _note(f"It goes round in circles ({', '.join(loops)}), as small models do.")


def _calls(facts: Facts) -> Iterator[Finding]:
    whole = {one.name: one for one in facts.called if one.api == "openai"}
    for one in facts.called:
        plain = whole.get(one.name)
        told = one.asked and plain is not None and plain.valid
        if one.api == "openai streamed" and told and not one.valid:
            yield _worse(
                f"Streamed, its answer is not what it is as a whole ({one.name}): {one.why}"
            )
        if one.api == "openai" and one.forced and one.valid < one.asked:
            yield _note(f"Its engine does not hold it to a form ({one.name}): {one.why}")


def _foresight_beside(facts: Facts, other: Facts, *, alike: bool) -> Iterator[Finding]:
    pair = beside(facts, other) if alike else None
    if pair is not None:
        yield from _pair(pair, other.subject.id)
        return
    one, two = foresight_of(facts.scored), foresight_of(other.scored)
    if one is None or two is None or facts.texts_version != other.texts_version:
        return
    if {p.name for p in facts.scored} != {p.name for p in other.scored}:
        return
    if one.bits_per_byte > _WORSE_BITS * two.bits_per_byte:
        yield _worse(
            f"It needs {one.bits_per_byte:.2f} bits for a byte of the texts, {other.subject.id} "
            f"{two.bits_per_byte:.2f}."
        )


def _pair(pair: Beside, name: str) -> Iterator[Finding]:
    grown = math.expm1(min(pair.more_nats, 700.0))
    surely = math.expm1(min(pair.surely_more_nats, 700.0))
    said = f"Its perplexity is {grown:+.1%} beside {name}'s, at least {surely:+.1%}"
    if pair.surely_more_nats > _BROKEN_NATS:
        yield _broken(f"{said}: more than the coarsest quantization costs.")
    elif pair.surely_more_nats > _WORSE_NATS:
        yield _worse(f"{said}.")
    apart = (
        f"Its probabilities diverge from {name}'s by {pair.divergence:.3f} nats, and it finds the "
        f"same token likeliest in {pair.same_first:.0%}"
    )
    if pair.divergence > _BROKEN_DIVERGENCE:
        yield _broken(f"{apart}: as another model would.")
    elif pair.divergence > _WORSE_DIVERGENCE:
        yield _worse(f"{apart}.")


def _tasks_beside(one: Sequence[Tried], other: Sequence[Tried], name: str) -> Iterator[Finding]:
    known = {tried.name: tried.passed for tried in other}
    both = [t for t in one if t.passed is not None and known.get(t.name) is not None]
    lost = [t.name for t in both if known[t.name] and not t.passed]
    won = [t.name for t in both if t.passed and not known[t.name]]
    if lost:
        weight = Weight.WORSE if len(lost) - len(won) >= _WORSE_TASKS else Weight.NOTE
        yield Finding(weight, f"It fails what {name} passes: {', '.join(lost)}.")


def _calls_beside(one: Sequence[Called], other: Sequence[Called], name: str) -> Iterator[Finding]:
    known = {(called.name, called.api): called for called in other}
    both = [(c, known[c.name, c.api]) for c in one if (c.name, c.api) in known]
    mine, asked = sum(c.valid for c, _ in both), sum(c.asked for c, _ in both)
    theirs, asked_there = sum(o.valid for _, o in both), sum(o.asked for _, o in both)
    if not asked or not asked_there:
        return
    drop = theirs / asked_there - mine / asked
    pooled = (mine + theirs) / (asked + asked_there)
    error = math.sqrt(pooled * (1 - pooled) * (1 / asked + 1 / asked_there))
    if drop > 0 and drop > _SURE * error:
        yield _worse(
            f"Of its calls and documents {mine} of {asked} have the right form, of {name}'s "
            f"{theirs} of {asked_there}."
        )


def _speed_beside(facts: Facts, other: Facts) -> Iterator[Finding]:
    mine, theirs = facts.speed.decode_tps, other.speed.decode_tps
    if mine is not None and theirs is not None and mine < _SLOWER * theirs:
        yield _note(
            f"It writes {mine:.1f} tokens per second, {other.subject.id} wrote {theirs:.1f}."
        )


def _nth(number: int) -> str:
    tens, ones = divmod(number % 100, 10)
    ending = "th" if tens == 1 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    return f"{number}{ending}"


def _note(what: str) -> Finding:
    return Finding(Weight.NOTE, what)


def _worse(what: str) -> Finding:
    return Finding(Weight.WORSE, what)


def _broken(what: str) -> Finding:
    return Finding(Weight.BROKEN, what)
