"""How each engine is asked for tokens and their probabilities, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from localllm.quality.scoring import CannotScore, score
from localllm.quality.texts import Passage
from localllm.quality.tokens import CHATS, Tongue, look_at_tokenizer, missing_of
from localllm.quality.voice import Answer
from tests.unit.quality.a_voice import ScriptedVoice

pytestmark = pytest.mark.anyio

PASSAGE = Passage("p", "english", quick=True, lead="ab", text="cd")
Said = Mapping[str, Any]


def letters(body: Said) -> object:
    return {"tokens": [ord(c) for c in body.get("content") or body["prompt"]]}


def llama(body: Said) -> object:
    ((number, bias),) = body["logit_bias"]
    assert (bias, body["n_predict"], body["cache_prompt"]) == (1000.0, 1, True)
    top = [{"id": 9, "logprob": -0.5}, {"id": number, "logprob": -1.0}]
    return {"completion_probabilities": [{"id": number, "logprob": -1.0, "top_logprobs": top}]}


async def test_llama_cpp_is_made_to_write_each_token() -> None:
    voice = ScriptedVoice({"/tokenize": letters, "/completion": llama})

    told = await score(voice, Tongue("xllamacpp", "m"), PASSAGE)

    assert [(one.id, one.logprob) for one in told.tokens] == [(99, -1.0), (100, -1.0)]
    assert told.tokens[0].top[0] == (9, -0.5)
    prompts = [body["prompt"] for path, body in voice.asked if path == "/completion"]
    assert prompts == [[97, 98], [97, 98, 99]]


@pytest.mark.parametrize("engine", ["xllamacpp", "mlx", "vllm"])
async def test_a_text_begins_as_the_models_prompts_do_and_does_not_end(engine: str) -> None:
    """Gemma, which is in order, finds nothing likely in a text without its first token."""

    def cut(body: Said) -> object:
        plain = [ord(c) for c in body.get("content") or body["prompt"]]
        is_whole = body.get("add_special") or body.get("add_special_tokens")
        return {"tokens": [2, *plain, 1] if is_whole else plain}

    voice = ScriptedVoice({"/tokenize": cut, "/completion": llama})

    with suppress(CannotScore):
        await score(voice, Tongue(engine, "m"), PASSAGE)

    _, asked = next(one for one in voice.asked if one[0] != "/tokenize")
    tokens = asked.get("prompt") or asked["tokens"]
    assert tokens[:3] == [2, 97, 98]
    assert 1 not in tokens


async def test_one_that_writes_something_else_cannot_score() -> None:
    def disobedient(_body: Said) -> object:
        return {"completion_probabilities": [{"id": 5, "logprob": -1.0}]}

    voice = ScriptedVoice({"/tokenize": letters, "/completion": disobedient})

    with pytest.raises(CannotScore, match="does not write what it is told"):
        await score(voice, Tongue("llama-server", "m"), PASSAGE)


async def test_what_llama_cpp_writes_as_null_is_no_number() -> None:
    def broken(body: Said) -> object:
        number = body["logit_bias"][0][0]
        return {"completion_probabilities": [{"id": number, "logprob": None, "top_logprobs": []}]}

    voice = ScriptedVoice({"/tokenize": letters, "/completion": broken})

    told = await score(voice, Tongue("xllamacpp", "m"), PASSAGE)

    assert [one.logprob for one in told.tokens] == [None, None]


async def test_vllm_tells_the_prompts_probabilities() -> None:
    def completed(body: Said) -> object:
        assert (body["max_tokens"], body["prompt"]) == (1, [97, 98, 99, 100])
        place = {"99": {"logprob": -2.0, "rank": 3}, "7": {"logprob": -0.1, "rank": 1}}
        last = {"100": {"logprob": -0.3, "rank": 1}}
        return {"choices": [{"prompt_logprobs": [None, {}, place, last]}]}

    voice = ScriptedVoice({"/tokenize": letters, "/v1/completions": completed})

    told = await score(voice, Tongue("vllm", "m"), PASSAGE)

    assert [one.logprob for one in told.tokens] == [-2.0, -0.3]
    assert told.tokens[0].top == ((7, -0.1), (99, -2.0))
    assert voice.asked[0][1] == {"model": "m", "prompt": "ab", "add_special_tokens": False}
    assert voice.asked[1][1] == {"model": "m", "prompt": "ab", "add_special_tokens": True}


async def test_sglang_tells_the_inputs_probabilities() -> None:
    def generated(body: Said) -> object:
        assert body["return_logprob"] is True
        own = [[None, 97, None], [-9.0, 98, None], [-1.5, 99, None], [-0.5, 100, None]]
        tops = [None, None, [[-0.2, 7, None]], [[-0.5, 100, None]]]
        return {"meta_info": {"input_token_logprobs": own, "input_top_logprobs": tops}}

    voice = ScriptedVoice({"/tokenize": letters, "/generate": generated})

    told = await score(voice, Tongue("sglang", "m"), PASSAGE)

    assert [one.logprob for one in told.tokens] == [-1.5, -0.5]
    assert told.tokens[0].top == ((7, -0.2),)


async def test_a_worker_of_ours_scores_all_at_once() -> None:
    def scores(body: Said) -> object:
        assert body["from"] == 2
        return {"scores": [[99, -1.0, [[99, -1.0]]], [100, None, []]]}

    voice = ScriptedVoice({"/tokenize": letters, "/score": scores})

    told = await score(voice, Tongue("mlx", "m"), PASSAGE)

    assert [one.logprob for one in told.tokens] == [-1.0, None]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "mlx", "xllamacpp"])
async def test_an_engine_that_does_not_know_the_call_cannot_score(engine: str) -> None:
    with pytest.raises(CannotScore):
        await score(ScriptedVoice({"/tokenize": letters}), Tongue(engine, "m"), PASSAGE)


async def test_without_tokens_there_is_nothing_to_score() -> None:
    with pytest.raises(CannotScore, match="how it cuts"):
        await score(ScriptedVoice({}), Tongue("xllamacpp", "m"), PASSAGE)


def chatml(body: Said) -> object:
    turns = [f"<{m['role']}>{m['content']}" for m in body["messages"]]
    return {"prompt": "".join(turns)}


async def test_a_tokenizer_is_looked_at_from_all_sides() -> None:
    def joined(body: Said) -> object:
        return {"content": "".join(map(chr, body["tokens"]))}

    script = {"/tokenize": letters, "/detokenize": joined, "/apply-template": chatml}

    told = await look_at_tokenizer(ScriptedVoice(script), Tongue("xllamacpp", "m"), "a text")

    assert told.ids == tuple(map(ord, "a text"))
    assert told.joined is True
    assert (set(told.chats), told.missing) == (set(CHATS), ())
    assert told.knows_tools is False
    assert told.markup_tokens == 0, "its markup is letters"


async def test_sglang_joins_tokens_to_a_text() -> None:
    def joined(body: Said) -> object:
        assert body["skip_special_tokens"] is False
        return {"text": "".join(map(chr, body["tokens"]))}

    def cut(body: Said) -> object:
        return letters(body) if "prompt" in body else Answer(400, b'{"error": "no prompt"}')

    voice = ScriptedVoice({"/tokenize": cut, "/detokenize": joined})

    assert (await look_at_tokenizer(voice, Tongue("sglang", "m"), "a text")).joined is True


async def test_a_model_without_a_template_is_not_judged_by_the_engines() -> None:
    voice = ScriptedVoice({"/tokenize": letters, "/apply-template": chatml})

    told = await look_at_tokenizer(voice, Tongue("mlx", "m"), "a text", has_template=False)

    assert (told.chats, told.knows_tools) == ({}, None)


async def test_an_engine_that_tells_nothing_of_tokens_leaves_them_unknown() -> None:
    told = await look_at_tokenizer(ScriptedVoice({}), Tongue("other", "m"), "a text")

    assert (told.ids, told.joined, told.chats, told.refused) == (None, None, {}, {})


async def test_a_template_that_takes_no_system_is_said_to() -> None:
    def refuses(_body: Said) -> object:
        why = b'{"error": {"message": "the chat template refuses them: no system role"}}'
        return Answer(400, why)

    told = await look_at_tokenizer(
        ScriptedVoice({"/apply-template": refuses}), Tongue("mlx", "m"), "a text"
    )

    assert "no system role" in told.refused["question"]


def test_what_a_template_leaves_out_or_turns_round_is_missing() -> None:
    whole = {
        "conversation": "You answer in short sentences. My name is Quillon. Hello Quillon. What is my name?"
    }
    turned = {
        "conversation": "What is my name? You answer in short sentences. My name is Quillon. Hello Quillon."
    }

    assert missing_of(whole) == []
    assert missing_of(turned) == ["conversation: What is my name?"]
    assert missing_of({"question": "<user></user>"}) == ["question: What is the heron doing?"]
