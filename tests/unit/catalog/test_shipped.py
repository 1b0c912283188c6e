"""The shipped catalog: whole, sourced, and of dimensions that multiply to the published models."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from localllm.catalog.facts import Ability, HyperParameter
from localllm.catalog.ladder import read_ladder
from localllm.catalog.profile import Profile, read_profiles
from localllm.catalog.repositories import FileFormat
from localllm.paths import bundled_profiles
from localllm.user_profiles import Manner

PROFILES = {profile.id: profile for profile in read_profiles(bundled_profiles())}
LADDER = read_ladder(bundled_profiles())
VARIANTS = [
    (profile, repository, variant)
    for profile in PROFILES.values()
    for repository in profile.repositories
    for variant in repository.variants
]
GGUF = [one for one in VARIANTS if one[1].format is FileFormat.GGUF]
each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)

FAMILIES = {
    *("qwen3.5-0.8b", "qwen3.5-4b", "qwen3.5-9b", "qwen3.6-27b", "qwen3.6-35b-a3b", "qwen3.8-27b"),
    *("gemma-4-e2b", "gemma-4-e4b", "gemma-4-12b", "gemma-4-26b-a4b", "gemma-4-31b"),
    *("gpt-oss-20b", "gpt-oss-120b", "llama-3.1-8b", "llama-3.3-70b", "llama-4-scout"),
    *("deepseek-v4-flash", "phi-4", "phi-4-mini", "mistral-small-3.2", "devstral-small-2"),
    *("qwen3-coder-30b-a3b", "qwen3-coder-next", "qwen3-8b", "qwen3-32b", "glm-4.7-flash"),
    *("smollm2-135m-instruct", "smollm2-360m-instruct", "smollm2-1.7b-instruct"),
    *("qwen3-embedding-0.6b", "qwen3-embedding-4b", "qwen3-embedding-8b"),
    *("embeddinggemma-300m", "nomic-embed-text-v1.5"),
}


def keys_of(profile: Profile) -> Mapping[str, HyperParameter]:
    assert profile.gguf is not None
    return profile.gguf.keys


def test_every_family_that_was_asked_for_is_there() -> None:
    assert set(PROFILES) >= FAMILIES


@each_profile
def test_a_profile_says_when_it_was_checked_and_from_where(profile: Profile) -> None:
    assert profile.checked is not None
    assert profile.sources
    assert profile.repositories
    names = [repository.repo for repository in profile.repositories]
    assert len(names) == len(set(names))


@each_profile
def test_a_profile_has_what_a_plan_needs_before_a_header_is_read(profile: Profile) -> None:
    keys = keys_of(profile)

    needed = {"block_count", "embedding_length", "vocab_size", "context_length"}
    needed |= {f"attention.{key}" for key in ("head_count", "head_count_kv", "key_length")}
    assert needed <= set(keys)
    assert {"feed_forward_length", "expert_feed_forward_length"} & set(keys)
    assert keys["context_length"] == profile.context


@each_profile
def test_a_list_has_one_number_per_layer(profile: Profile) -> None:
    keys = keys_of(profile)

    lists = {name: len(value) for name, value in keys.items() if isinstance(value, tuple)}

    assert set(lists.values()) <= {keys["block_count"]}


def test_every_quantization_has_its_rung() -> None:
    assert {v.quant for _, _, v in VARIANTS if LADDER.rung(v.quant) is None} == set()


def test_every_divergence_has_its_source() -> None:
    assert [v.quant for _, _, v in VARIANTS if (v.kld is None) != (v.kld_source is None)] == []
    assert sum(v.kld is not None for _, _, v in VARIANTS) > 5


def test_every_file_has_a_size_and_the_name_of_its_quantization() -> None:
    strange = [
        (repository.repo, variant.quant)
        for _, repository, variant in GGUF
        if variant.size is None
        or not variant.files
        or not all(variant.quant.lower() in name.lower() for name in variant.files)
    ]

    assert strange == []


def test_a_split_file_is_there_with_all_its_parts_once() -> None:
    for _, repository, variant in GGUF:
        parts = [re.search(r"-(\d{5})-of-(\d{5})\.gguf$", name) for name in variant.files]
        if len(parts) > 1:
            count = len(parts)
            whole = [(f"{part:05}", f"{count:05}") for part in range(1, count + 1)]
            assert [part and part.groups() for part in parts] == whole, repository.repo


def test_a_size_is_near_what_its_bits_give() -> None:
    """Of large models: in small ones the vocabulary, in more bits, is most of the file."""
    far = []
    for profile, repository, variant in VARIANTS:
        rung = LADDER.rung(variant.quant)
        assert rung is not None
        large = profile.parameters is not None and profile.parameters > 10**10
        if large and rung.bits is not None and variant.size is not None:
            share = variant.size * 8 / (profile.parameters or 0) / rung.bits
            if not 0.8 < share < 1.7:
                far.append((repository.repo, variant.quant))

    native_experts = ("unsloth/DeepSeek-V4-Flash-0731-GGUF", "UD-Q8_K_XL")  # in 4 bits
    assert far == [native_experts]


def number(keys: Mapping[str, HyperParameter], key: str) -> int:
    value = keys[key]
    assert isinstance(value, int)
    return value


def dense(k: Mapping[str, HyperParameter], *, tied: bool, norms: int = 0) -> int:
    """Weights of a plain transformer, with or without experts."""
    wide, heads, kv = (number(k, key) for key in WIDE)
    dim = number(k, "attention.key_length")
    attention = 2 * wide * heads * dim + 2 * wide * kv * dim + 2 * wide + norms * dim
    return tables(k, tied=tied) + number(k, "block_count") * (attention + feed_forward(k))


def tables(k: Mapping[str, HyperParameter], *, tied: bool) -> int:
    wide = number(k, "embedding_length")
    return number(k, "vocab_size") * wide * (1 if tied else 2) + wide


def feed_forward(k: Mapping[str, HyperParameter]) -> int:
    wide = number(k, "embedding_length")
    if "expert_count" not in k:
        return 3 * wide * number(k, "feed_forward_length")
    count, width = number(k, "expert_count"), number(k, "expert_feed_forward_length")
    shared = number(k, "expert_shared_feed_forward_length") if SHARED in k else 0
    gate = wide if shared else 0
    return wide * count + 3 * wide * (count * width + shared) + gate


def hybrid(k: Mapping[str, HyperParameter], *, tied: bool) -> int:
    """Qwen3-Next and its successors: three of four layers have linear attention."""
    wide, heads, kv = (number(k, key) for key in WIDE)
    dim, state = number(k, "attention.key_length"), number(k, "ssm.state_size")
    inner, values = number(k, "ssm.inner_size"), number(k, "ssm.time_step_rank")
    mixed = inner + 2 * number(k, "ssm.group_count") * state
    linear = wide * (mixed + 2 * inner + 2 * values) + 4 * mixed + 2 * values + state
    full = wide * dim * (3 * heads + 2 * kv) + 2 * dim
    layers = number(k, "block_count")
    every = number(k, "full_attention_interval")
    attention = layers // every * (full + (every - 1) * linear)
    return tables(k, tied=tied) + attention + layers * (feed_forward(k) + 2 * wide)


WIDE = ("embedding_length", "attention.head_count", "attention.head_count_kv")
SHARED = "expert_shared_feed_forward_length"
PUBLISHED: list[tuple[str, int, Callable[[Mapping[str, HyperParameter]], int]]] = [
    ("llama-3.1-8b", 8_030_261_248, lambda k: dense(k, tied=False)),
    ("llama-3.3-70b", 70_553_706_496, lambda k: dense(k, tied=False)),
    ("phi-4", 14_659_507_200, lambda k: dense(k, tied=False)),
    ("phi-4-mini", 3_836_021_760, lambda k: dense(k, tied=True)),
    ("mistral-small-3.2", 23_572_403_200, lambda k: dense(k, tied=False)),
    ("devstral-small-2", 23_572_403_200, lambda k: dense(k, tied=False)),
    ("smollm2-135m-instruct", 134_515_008, lambda k: dense(k, tied=True)),
    ("smollm2-360m-instruct", 361_821_120, lambda k: dense(k, tied=True)),
    ("smollm2-1.7b-instruct", 1_711_376_384, lambda k: dense(k, tied=True)),
    ("qwen3-8b", 8_190_735_360, lambda k: dense(k, tied=False, norms=2)),
    ("qwen3-32b", 32_762_123_264, lambda k: dense(k, tied=False, norms=2)),
    ("qwen3-coder-30b-a3b", 30_532_122_624, lambda k: dense(k, tied=False, norms=2)),
    ("qwen3-embedding-0.6b", 595_776_512, lambda k: dense(k, tied=True, norms=2)),
    ("qwen3-embedding-4b", 4_021_774_336, lambda k: dense(k, tied=True, norms=2)),
    ("qwen3-embedding-8b", 7_567_295_488, lambda k: dense(k, tied=True, norms=2)),
    ("qwen3-coder-next", 79_674_391_296, lambda k: hybrid(k, tied=False)),
    ("qwen3.6-35b-a3b", 34_660_610_688, lambda k: hybrid(k, tied=False)),
    ("qwen3.6-27b", 26_895_998_464, lambda k: hybrid(k, tied=False)),
]


@pytest.mark.parametrize(("model", "published", "count"), PUBLISHED, ids=lambda v: str(v)[:24])
def test_dimensions_multiply_to_the_published_number_of_parameters(
    model: str, published: int, count: Callable[[Mapping[str, HyperParameter]], int]
) -> None:
    assert count(keys_of(PROFILES[model])) == published
    assert PROFILES[model].parameters == published


@pytest.mark.parametrize(
    ("model", "repo", "quant", "size"),
    [
        ("gpt-oss-20b", "ggml-org/gpt-oss-20b-GGUF", "MXFP4", 12_109_566_624),
        ("gpt-oss-120b", "ggml-org/gpt-oss-120b-GGUF", "MXFP4", 63_387_346_208),
        ("llama-3.3-70b", "bartowski/Llama-3.3-70B-Instruct-GGUF", "Q4_K_M", 42_520_398_816),
        ("qwen3.5-9b", "unsloth/Qwen3.5-9B-GGUF", "Q4_K_M", 5_680_529_408),
    ],
)
def test_sizes_that_others_measured_are_here_to_the_byte(
    model: str, repo: str, quant: str, size: int
) -> None:
    found = [
        variant
        for repository in PROFILES[model].repositories
        for variant in repository.variants
        if (repository.repo, variant.quant) == (repo, quant)
    ]

    assert [(variant.size, variant.size_within) for variant in found] == [(size, None)]


def test_the_makers_own_four_bits_are_marked() -> None:
    native = Counter(
        profile.id
        for profile in PROFILES.values()
        for repository in profile.repositories
        if any(variant.native for variant in repository.variants)
    )

    assert set(native) == {
        *("gpt-oss-20b", "gpt-oss-120b", "deepseek-v4-flash", "embeddinggemma-300m"),
        *("gemma-4-e2b", "gemma-4-e4b", "gemma-4-12b", "gemma-4-26b-a4b", "gemma-4-31b"),
    }


def test_a_variant_sets_something_and_thinking_is_for_those_that_can() -> None:
    offered = {id_: p for id_, p in PROFILES.items() if p.variants}

    assert {"qwen3-8b", "qwen3.6-27b", "gpt-oss-20b"} <= set(offered)
    for profile in offered.values():
        assert Ability.REASONING in profile.abilities, profile.id
        for ending, manner in profile.variants.items():
            said = [name for name in Manner.__struct_fields__ if getattr(manner, name) is not None]
            assert said, f"{profile.id}:{ending}"
            assert manner.context is None, "what fits is for the planner to say"
