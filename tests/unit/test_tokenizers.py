"""What tokenizers told once is found again for other quantizations of the same model, and only those."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.catalog.profile import FORMAT, Profile
from localllm.engine_client.interview import Interview
from localllm.formats.header import Header
from localllm.store.headers import read_header
from localllm.supervisor.doubts import Known
from localllm.supervisor.tokenizers import KEPT, known_before, note, recall, tokenizer_key
from tests.smollm2 import smollm2
from tests.unit.fit.a_header import llama_8b


def told(tokens: int | None) -> Interview:
    return Interview(tokens, round_trip=True, chat_prompt_tokens=37, answer="Hi")


def a_profile(check_tokens: int | None) -> Profile:
    return Profile(format=FORMAT, id="tiny", name="Tiny", license="mit", check_tokens=check_tokens)


def named(name: str | None, **keys: str) -> Header:
    metadata = {f"general.{key}": value for key, value in keys.items()}
    return replace(llama_8b(), name=name, metadata=metadata)


def test_what_was_noted_is_recalled_and_the_newest_counts(tmp_path: Path) -> None:
    file = tmp_path / "state" / "tokenizers.json"

    note(file, "a key", told(180), "Tiny Q8_0")
    note(file, "another", told(7), "Other Q8_0")
    note(file, "a key", told(181), "Tiny Q4_1")

    assert recall(file, "a key") == Known(181, "Tiny Q4_1")
    assert recall(file, "a third") is None
    assert [entry.name for entry in file.parent.glob("*.draft")] == []


def test_an_engine_that_tells_no_tokens_leaves_what_is_known(tmp_path: Path) -> None:
    file = tmp_path / "tokenizers.json"
    note(file, "a key", told(181), "Tiny Q8_0")

    note(file, "a key", told(None), "Tiny Q4_1")

    assert recall(file, "a key") == Known(181, "Tiny Q8_0")


@pytest.mark.parametrize(
    "change", [{"format": 0}, {"text": "of another text"}, {"more": 1}, {"entries": [{"key": 1}]}]
)
def test_a_record_of_another_version_or_text_is_as_if_there_were_none(
    tmp_path: Path, change: dict[str, object]
) -> None:
    file = tmp_path / "tokenizers.json"
    note(file, "a key", told(181), "Tiny Q8_0")
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))

    assert recall(file, "a key") is None
    note(file, "a key", told(5), "Tiny Q4_1")
    assert recall(file, "a key") == Known(5, "Tiny Q4_1")


def test_a_record_that_is_no_json_is_as_if_there_were_none(tmp_path: Path) -> None:
    file = tmp_path / "tokenizers.json"
    file.write_bytes(b"\xff{")

    assert recall(file, "a key") is None


def test_the_record_keeps_the_newest_and_stays_small(tmp_path: Path) -> None:
    file = tmp_path / "tokenizers.json"

    for number in range(KEPT + 1):
        note(file, f"key {number}", told(number), "Tiny")

    assert recall(file, "key 0") is None
    assert recall(file, "key 1") == Known(1, "Tiny")
    assert recall(file, f"key {KEPT}") == Known(KEPT, "Tiny")


def test_models_that_start_at_the_same_time_do_not_lose_each_others_notes(tmp_path: Path) -> None:
    file = tmp_path / "tokenizers.json"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: note(file, f"key {n}", told(n), "Tiny"), range(40)))

    assert [recall(file, f"key {n}") for n in range(40)] == [Known(n, "Tiny") for n in range(40)]


def test_what_the_profile_says_goes_before_the_record(tmp_path: Path) -> None:
    file = tmp_path / "tokenizers.json"
    note(file, "a key", told(180), "Tiny Q8_0")

    assert known_before(a_profile(181), file, "a key") == Known(181, "its profile")
    assert known_before(a_profile(None), file, "a key") == Known(180, "Tiny Q8_0")
    assert known_before(None, file, "a key") == Known(180, "Tiny Q8_0")
    assert known_before(None, file, "another") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Qwen3 8B", "Qwen3-8B-4bit"),
        ("Qwen3 8B", "Qwen3-8B-MLX-8bit"),
        ("gpt-oss-20b", "gpt-oss-20b-MXFP4-Q8"),
        ("mistral-7b-instruct-v0.2", "mistral-7b-instruct-v0.2.Q4_K_M"),
        ("Foo-7B-i1-IQ4_XS", "Foo 7B UD-Q4_K_XL"),
        ("Qwen2.5-14B-Instruct-GPTQ-Int4", "Qwen2.5-14B-Instruct-FP8"),
        ("DeepSeek-V3-NVFP4", "DeepSeek-V3-BF16"),
    ],
)
def test_two_quantizations_of_a_model_have_one_key(one: str, other: str) -> None:
    assert tokenizer_key(named(one)) == tokenizer_key(named(other))


def test_a_file_with_a_wrong_tokenizer_has_the_key_of_the_right_one() -> None:
    header = read_header(smollm2())
    wrong = replace(
        header,
        quantization="Q8_0",
        metadata={**header.metadata, "tokenizer.ggml.pre": "default", "general.file_type": 7},
    )

    assert tokenizer_key(wrong) == tokenizer_key(header)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (named("Llama 3.1 8B Instruct"), named("Hermes 3 Llama 3.1 8B")),
        (named("Qwen3 8B"), named("Qwen3 4B")),
        (named("model"), replace(named("model"), vocabulary=32_000)),
        (named("model"), replace(named("model"), embedding=2048)),
        (named("model"), replace(named("model"), architecture="qwen3")),
        (
            named(None, basename="smollm2", size_label="135M"),
            named(None, basename="smollm2", size_label="360M"),
        ),
    ],
)
def test_two_models_have_two_keys(one: Header, other: Header) -> None:
    assert tokenizer_key(one) != tokenizer_key(other)


def test_a_file_without_a_name_is_known_by_what_the_name_is_made_of() -> None:
    parts = {"basename": "Qwen3", "finetune": "Instruct", "size_label": "8B"}

    assert tokenizer_key(named("Q4_K_M", **parts)) == tokenizer_key(named(None, **parts))
