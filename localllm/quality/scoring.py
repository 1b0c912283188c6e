"""Has an engine say how likely it finds given tokens, exactly, and not those that it would choose.

llama.cpp's server tells no prompt's probabilities (issues 8942, 27174). But it tells those of what it
writes, as they were before any sampler had touched them, and a bias makes it write what it is told:
so it writes the text, and says of each token how likely it was.

Source: llama.cpp, tools/server (get_token_probabilities; `n_probs`, `logit_bias`); vLLM,
`prompt_logprobs`; SGLang, `return_logprob`. Checked against logits in
tests/integration/test_check_scores.py.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from localllm.quality.facts import Scored, Token
from localllm.quality.texts import Passage
from localllm.quality.tokens import Tongue, cut, cut_beginning
from localllm.quality.voice import Voice

TOP = 20
"""So many of the likeliest tokens are told at each place."""

_BIAS = 1000.0
"""Beyond any logit: the token that has it is chosen."""


class CannotScore(Exception):
    """This engine tells no probabilities of given tokens; the text says why."""


async def score(voice: Voice, tongue: Tongue, passage: Passage) -> Scored:
    """Score one passage.

    Raises:
        CannotScore: The engine cannot, or does not tell tokens.
        Silent: It does not answer.
    """
    lead = await cut_beginning(voice, tongue, passage.lead)
    text = await cut(voice, tongue, passage.text)
    if not lead or not text:
        raise CannotScore("the engine does not say how it cuts a text into tokens")
    way = _WAYS.get(tongue.engine)
    if way is None:
        raise CannotScore(f"{tongue.engine} tells no probabilities of given tokens")
    tokens = await way(voice, tongue, lead, text)
    return Scored(passage.name, passage.kind, passage.size_bytes, tuple(tokens))


async def _biased(
    voice: Voice, _tongue: Tongue, lead: Sequence[int], text: Sequence[int]
) -> Sequence[Token]:
    """Have llama.cpp write the text, one token at a time, with a bias that no other can withstand.

    Each prompt is the last one and what came of it, so that only a token is read for each. A
    grammar that names the tokens would do it in one request, but is tried on the whole vocabulary
    wherever the model would write something else: ten times as slow.
    """
    tokens = []
    for at, number in enumerate(text):
        body = {
            "prompt": [*lead, *text[:at]],
            "n_predict": 1,
            "n_probs": TOP,
            "logit_bias": [[number, _BIAS]],
            "temperature": 0,
            "cache_prompt": True,
        }
        told = (await voice.ask("/completion", body)).read(_Completion)
        said = [] if told is None else told.completion_probabilities
        if len(said) != 1 or said[0].id != number:
            raise CannotScore("this build of llama.cpp does not write what it is told to")
        tokens.append(said[0].token())
    return tokens


async def _by_worker(
    voice: Voice, tongue: Tongue, lead: Sequence[int], text: Sequence[int]
) -> Sequence[Token]:
    """Ask a worker of ours, which has the logits."""
    body = {"tokens": [*lead, *text], "from": len(lead), "top": TOP}
    told = (await voice.ask("/score", body)).read(_Worker)
    if told is None or [one.id for one in told.scores] != [*text]:
        raise CannotScore(f"{tongue.engine} does not score these tokens")
    return told.scores


async def _by_vllm(
    voice: Voice, tongue: Tongue, lead: Sequence[int], text: Sequence[int]
) -> Sequence[Token]:
    asked = {"model": tongue.model, "prompt": [*lead, *text], "max_tokens": 1, "temperature": 0}
    told = (await voice.ask("/v1/completions", {**asked, "prompt_logprobs": TOP})).read(_Vllm)
    places = told.choices[0].prompt_logprobs if told is not None and told.choices else []
    if len(places) != len(lead) + len(text):
        raise CannotScore("vllm tells no `prompt_logprobs`")
    told_of = zip(places[len(lead) :], text, strict=True)
    return [_of_vllm(place or {}, number) for place, number in told_of]


async def _by_sglang(
    voice: Voice, _tongue: Tongue, lead: Sequence[int], text: Sequence[int]
) -> Sequence[Token]:
    body = {
        "input_ids": [*lead, *text],
        "sampling_params": {"max_new_tokens": 1, "temperature": 0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": TOP,
    }
    told = (await voice.ask("/generate", body)).read(_Sglang)
    own = [] if told is None else told.meta_info.input_token_logprobs[-len(text) :]
    if told is None or [entry[1] for entry in own] != [*text]:
        raise CannotScore("sglang tells no `input_token_logprobs`")
    tops = told.meta_info.input_top_logprobs[-len(text) :]
    return [_of_sglang(entry, top or []) for entry, top in zip(own, tops, strict=True)]


_Way = Callable[[Voice, Tongue, Sequence[int], Sequence[int]], Awaitable[Sequence[Token]]]
_WAYS: Mapping[str, _Way] = {
    "xllamacpp": _biased,
    "llama-server": _biased,
    "llama-cpp-python": _by_worker,
    "mlx": _by_worker,
    "vllm": _by_vllm,
    "sglang": _by_sglang,
}


def _number(said: float | None) -> float | None:
    return said if said is not None and math.isfinite(said) else None


def _token(number: int, said: float | None, top: Sequence[tuple[int, float | None]]) -> Token:
    known = [(one, logprob) for one, logprob in top if _number(logprob) is not None]
    return Token(number, _number(said), tuple((one, float(lp or 0.0)) for one, lp in known[:TOP]))


class _Likely(msgspec.Struct):
    id: int
    logprob: float | None = None
    """llama.cpp writes null for what is no number."""


class _Probability(_Likely):
    top_logprobs: list[_Likely] = []

    def token(self) -> Token:
        return _token(self.id, self.logprob, [(one.id, one.logprob) for one in self.top_logprobs])


class _Completion(msgspec.Struct):
    completion_probabilities: list[_Probability] = []


class _Worker(msgspec.Struct):
    scores: list[Token]


class _VllmLikely(msgspec.Struct):
    logprob: float | None = None


class _VllmChoice(msgspec.Struct):
    prompt_logprobs: list[dict[str, _VllmLikely] | None] = []


class _Vllm(msgspec.Struct):
    choices: list[_VllmChoice]


def _of_vllm(place: Mapping[str, _VllmLikely], number: int) -> Token:
    """Its place has the text's own token, too, where that is not among the likeliest."""
    ranked = sorted(place.items(), key=lambda item: -(item[1].logprob or -math.inf))
    own = place.get(str(number))
    top = [(int(one), likely.logprob) for one, likely in ranked]
    return _token(number, None if own is None else own.logprob, top)


_SglangLikely = tuple[float | None, int, str | None]


class _SglangMeta(msgspec.Struct):
    input_token_logprobs: list[_SglangLikely]
    input_top_logprobs: list[list[_SglangLikely] | None]


class _Sglang(msgspec.Struct):
    meta_info: _SglangMeta


def _of_sglang(entry: _SglangLikely, top: Sequence[_SglangLikely]) -> Token:
    return _token(entry[1], entry[0], [(number, logprob) for logprob, number, _ in top])
