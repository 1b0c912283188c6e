"""What a name in a request means, and what is said of one that means nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.api.views import ServeRequest
from localllm.catalog.facts import Manner as ShippedManner
from localllm.catalog.hosted_names import HostedNames, read_hosted_names
from localllm.catalog.profile import Profile
from localllm.config.settings import Naming
from localllm.engines.base import Task
from localllm.errors import ModelNotFound
from localllm.paths import bundled_profiles
from localllm.planning.at_hand import AtHand
from localllm.supervisor.known_names import Served, Shelf, known_names
from localllm.supervisor.resolving import LONGEST, Known, Resolved, over, resolve_name
from localllm.user_profiles import AS_IT_IS, Manner, Sampling, UserProfile

NO_THINK = ShippedManner(source="its card", thinking=False, temperature=0.7)
FAST = Manner(temperature=0.1, max_tokens=100)
LONG = Manner(context=131_072)
QWEN = Profile(
    1, "qwen3-8b", "Qwen3 8B", "apache-2.0", aliases=("qwen3:8b",), variants={"no-think": NO_THINK}
)
SMALL = Profile(1, "small", "Small", "mit")
OSS = Profile(1, "gpt-oss-20b", "gpt-oss", "apache-2.0", aliases=("gpt-oss:20b",))
CODING = UserProfile(model="qwen3:8b", sampling=Sampling(top_p=0.5), variants={"fast": FAST})
FILE = UserProfile(model="/models/mine.gguf")
HUB = UserProfile(model="hf:Me/Mine-GGUF:Q8_0", variants={"fast": FAST})
HOSTED = HostedNames(1, ("gpt-[0-9]*", "claude-*", "me/*"), ("text-embedding-*",), ("rerank-*",))
WHATEVER = dict.fromkeys(Task, "localllm")
SHELF = Shelf(
    (QWEN, SMALL, OSS),
    {"coding": CODING, "file": FILE, "hub": HUB},
    Naming(
        map={
            "my-?": "small",
            "smart": "qwen3-8b:no-think",
            "round": "and-round",
            "and-round": "round",
        }
    ),
    HOSTED,
    (AtHand("qwen3-8b", "x/y"), AtHand("Some/Model-GGUF:Q4_K_M", "Some/Model-GGUF")),
)
SERVED = Served(
    "qwen3-8b",
    ("qwen3-8b", "qwen3:8b", "Q/Qwen3-GGUF", "hf:Q/Qwen3-GGUF:Q4_K_M", "qwen3-8b:Q4_K_M"),
    ("qwen3-8b:q4_k_m:32768",),
)
AT_REST = known_names([], SHELF, None, WHATEVER)
KNOWN = known_names([SERVED], SHELF, "qwen3-8b", WHATEVER)
WITH_HOSTED = known_names(
    [SERVED, Served("vectors", ("vectors",))],
    Shelf(SHELF.catalog, naming=Naming(hosted=True, map={"*haiku*": "qwen3:8b:no-think"}), hosted=HOSTED),
    "qwen3-8b",
    {Task.WRITE: "localllm", Task.EMBED: "vectors", Task.RERANK: "localllm"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("qwen3-8b", "qwen3-8b"),
        ("QWEN3-8B", "qwen3-8b"),
        ("qwen3:8b", "qwen3-8b"),
        ("qwen3-8b:q4_k_m:32768", "qwen3-8b:q4_k_m:32768"),
        ("Q/Qwen3-GGUF", "qwen3-8b"),
        ("hf:q/qwen3-gguf:Q4_K_M", "qwen3-8b"),
        ("qwen3-8b:Q4_K_M", "qwen3-8b"),
        ("qwen3-8b:Q8_0", "qwen3-8b:Q8_0"),
        ("qwen3:8b:UD-Q4_K_XL", "qwen3:8b:UD-Q4_K_XL"),
        ("small", "small"),
        ("localllm", "localllm"),
        ("LocalLLM", "localllm"),
        ("some/model-gguf:q4_k_m", "Some/Model-GGUF:Q4_K_M"),
        ("hf:who/Knows-GGUF", "hf:who/Knows-GGUF"),
        ("who/Knows-GGUF:Q4_K_M", "who/Knows-GGUF:Q4_K_M"),
        ("my-1", "small"),
    ],
)
def test_a_name_leads_to_a_model(asked: str, name: str) -> None:
    assert resolve_name(asked, KNOWN) == Resolved(name)


@pytest.mark.parametrize(
    ("asked", "name", "manner"),
    [
        ("qwen3-8b:no-think", "qwen3-8b", NO_THINK),
        ("qwen3:8b:no-think", "qwen3-8b", NO_THINK),
        ("Qwen3:8B:No-Think", "qwen3-8b", NO_THINK),
        ("qwen3:8b:fast", "qwen3-8b", FAST),
        ("qwen3-8b:q4_k_m:32768:fast", "qwen3-8b:q4_k_m:32768", FAST),
        ("Q/Qwen3-GGUF:no-think", "qwen3-8b", NO_THINK),
        ("hf:Q/Qwen3-GGUF:Q4_K_M:no-think", "qwen3-8b", NO_THINK),
        ("localllm:no-think", "localllm", NO_THINK),
        ("hf:me/mine-gguf:Q8_0:fast", "hf:Me/Mine-GGUF:Q8_0", FAST),
        ("smart", "qwen3-8b", NO_THINK),
    ],
)
def test_what_is_behind_the_longest_known_name_is_the_manner(
    asked: str, name: str, manner: Manner
) -> None:
    assert resolve_name(asked, KNOWN) == Resolved(name, manner)


def test_a_profiles_name_leads_to_its_model_and_brings_its_sampling() -> None:
    wanted = ServeRequest(profile="coding")

    assert resolve_name("coding", AT_REST) == Resolved("coding", Manner(top_p=0.5), wanted)
    assert resolve_name("Coding", KNOWN) == Resolved("qwen3-8b", Manner(top_p=0.5), wanted)
    assert resolve_name("coding:no-think", KNOWN) == Resolved(
        "qwen3-8b", Manner(top_p=0.5, thinking=False, temperature=0.7), wanted
    )


def test_a_profile_leads_to_what_was_asked_for_with_it_whatever_that_is_called() -> None:
    served = Served("mine", ("mine",), profile="file")

    known = known_names([served], SHELF, "mine", WHATEVER)

    assert resolve_name("file", known).name == "mine"
    with pytest.raises(ModelNotFound):
        resolve_name("/models/mine.gguf", known)


def test_of_two_profiles_with_a_variant_of_one_name_the_served_one_counts() -> None:
    profiles = {
        "one": UserProfile(model="small", variants={"fast": FAST}),
        "two": UserProfile(model="small", variants={"fast": LONG}),
    }
    for profile in profiles:
        served = Served("small", ("small",), profile=profile)
        known = known_names([served], Shelf((SMALL,), profiles), "small", WHATEVER)

        assert resolve_name("small:fast", known).manner == profiles[profile].variants["fast"]


def test_a_profile_that_is_called_like_a_model_goes_before_the_catalog_until_it_is_served() -> None:
    shelf = Shelf((SMALL,), {"small": UserProfile(context=4096, variants={"fast": FAST})})
    served = Served("small", ("small",))

    at_rest = known_names([], shelf, None, WHATEVER)
    known = known_names([served], shelf, "small", WHATEVER)

    assert resolve_name("small", at_rest).wanted == ServeRequest(profile="small")
    assert resolve_name("small", known) == Resolved("small")
    assert resolve_name("small:fast", known) == Resolved("small", FAST)


def test_a_variant_with_a_context_wants_it_loaded_so() -> None:
    profiles = {"coding": UserProfile(model="small", variants={"long": LONG})}
    known = known_names([], Shelf((SMALL,), profiles), None, WHATEVER)

    by_model, by_profile = (resolve_name(f"{name}:long", known) for name in ("small", "coding"))

    assert by_model.wanted == ServeRequest(model="small", context=131_072)
    assert by_profile.wanted == ServeRequest(profile="coding", context=131_072)


@pytest.mark.parametrize(
    ("asked", "task", "name"),
    [
        ("gpt-5.2-codex", Task.WRITE, "localllm"),
        ("claude-opus-4-7[1m]", Task.WRITE, "localllm"),
        ("text-embedding-3-small", Task.EMBED, "vectors"),
        ("text-embedding-3-small", Task.WRITE, "vectors"),
        ("localllm", Task.EMBED, "vectors"),
        ("localllm", Task.WRITE, "localllm"),
        ("rerank-v4", Task.RERANK, "localllm"),
        ("gpt-oss:20b", Task.WRITE, "gpt-oss-20b"),
        ("claude-haiku-4-5", Task.WRITE, "qwen3-8b"),
    ],
)
def test_hosted_names_mean_what_is_served_if_that_is_wanted(
    asked: str, task: Task, name: str
) -> None:
    assert resolve_name(asked, WITH_HOSTED, task).name == name


def test_a_hosted_name_that_the_user_maps_may_carry_a_manner() -> None:
    assert resolve_name("claude-haiku-4-5", WITH_HOSTED).manner == NO_THINK


@pytest.mark.parametrize("asked", ["gpt-5.2", "claude-opus-4-7", "text-embedding-3-small", "o3"])
def test_hosted_names_mean_nothing_unless_they_are_wanted(asked: str) -> None:
    with pytest.raises(ModelNotFound):
        resolve_name(asked, KNOWN)


@pytest.mark.parametrize("asked", ["gpt-4o", "claude-opus-4-7", "Text-Embedding-3-small"])
def test_who_asks_for_a_hosted_name_is_told_how_to_have_it_mean_something(asked: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_name(asked, KNOWN)

    assert "hosted = true under [names]" in caught.value.fix
    assert "did you mean" not in caught.value.what  # gpt-oss is near to gpt-4o, in letters alone


def test_a_name_that_a_remote_has_is_no_unknown_one_and_one_from_here_goes_before() -> None:
    shelf = replace(SHELF, elsewhere=frozenset({"gpt-9", "coding", "qwen3-8b:huge"}))
    known = known_names([SERVED], shelf, "qwen3-8b", WHATEVER)

    assert resolve_name("gpt-9", known) == Resolved("gpt-9")
    assert resolve_name("qwen3-8b:huge", known) == Resolved("qwen3-8b:huge")
    assert resolve_name("coding", known).name == "qwen3-8b"
    with pytest.raises(ModelNotFound, match="did you mean gpt-9"):
        resolve_name("gpt-99", known)


def test_a_map_that_leads_nowhere_is_no_endless_way() -> None:
    with pytest.raises(ModelNotFound):
        resolve_name("round", KNOWN)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("qwen3-8", "qwen3-8b"),
        ("qwen3:8", "qwen3:8b"),
        ("codin", "coding"),
        ("smal", "small"),
        ("qwen3-8b-no-think", "qwen3-8b:no-think"),
        ("locallm", "localllm"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(asked: str, near: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_name(asked, KNOWN)

    assert f"{asked!r} is not served: did you mean" in caught.value.what
    assert near in caught.value.what
    assert "served now: qwen3-8b" in caught.value.why


def test_an_unknown_variant_is_told_those_that_there_are() -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve_name("qwen3:8b:slow", KNOWN)

    assert "'qwen3:8b' has no variant 'slow'" in caught.value.what
    assert "qwen3:8b:no-think, qwen3:8b:fast" in caught.value.why


@pytest.mark.parametrize("asked", ["x" * (LONGEST + 1), "qwen3-8b:" + "x" * LONGEST])
def test_a_very_long_name_is_nobodys_and_is_not_repeated_whole(asked: str) -> None:
    for_all = Shelf((QWEN,), naming=Naming(map={"*": "qwen3-8b"}))
    known = known_names([SERVED], for_all, "qwen3-8b", WHATEVER)
    assert resolve_name("whatever you have", known).name == "qwen3-8b"

    with pytest.raises(ModelNotFound) as caught:
        resolve_name(asked, known)

    assert len(str(caught.value)) < 500


@given(st.text(max_size=40), st.sampled_from([AT_REST, KNOWN, WITH_HOSTED]), st.sampled_from(Task))
def test_any_text_means_something_or_is_not_found(asked: str, known: Known, task: Task) -> None:
    with suppress(ModelNotFound):
        assert resolve_name(asked, known, task).name


def test_a_manner_over_another_leaves_what_it_does_not_say() -> None:
    assert over(Manner(temperature=1), Manner(temperature=2, top_k=3)) == Manner(
        temperature=1, top_k=3
    )
    assert over(FAST, AS_IT_IS) == FAST
    assert over(AS_IT_IS, FAST) == FAST


def test_the_table_that_is_shipped_has_no_name_of_a_model_in_the_catalog() -> None:
    hosted = read_hosted_names(bundled_profiles())
    shelf = Shelf((OSS,), naming=Naming(hosted=True), hosted=hosted)
    known = known_names([], shelf, None, WHATEVER)

    for name in ("gpt-5", "o3", "claude-sonnet-4-5", "gemini-3-pro", "anthropic/claude-opus-4.7"):
        assert resolve_name(name, known).name == "localllm"
    for name in ("gpt-oss-20b", "gpt-oss:20b", "openai/gpt-oss-120b"):
        assert resolve_name(name, known).name != "localllm"
