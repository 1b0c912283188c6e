"""`localllm key`: what it prints, keeps, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localllm.api.key_file import read_keys
from localllm.api.keys import PREFIX, find_key
from localllm.cli.key import command
from localllm.errors import BadKeyName, NoSuchKey


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    return tmp_path / "state" / "keys.json"


def key(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def secret_of(*words: str) -> str:
    said = key(*words)
    assert said.exit_code == 0, said.output
    return said.stdout.strip()


def test_a_new_key_is_all_of_standard_output_and_its_hash_all_that_is_kept(file: Path) -> None:
    secret = secret_of("create", "laptop")

    [kept] = read_keys(file)
    assert secret.startswith(PREFIX)
    assert len(secret) == len(PREFIX) + 43  # 256 bits
    assert secret not in file.read_text()
    assert find_key([kept], secret) is kept
    assert (kept.name, kept.expires, kept.models, kept.per_minute) == ("laptop", None, None, None)


def test_no_two_keys_are_alike(file: Path) -> None:
    secrets = {secret_of("create", f"k{i}") for i in range(5)}

    assert len(secrets) == len({k.id for k in read_keys(file)}) == 5


def test_what_a_key_may_is_said_when_it_is_made(file: Path) -> None:
    options = ("--expires", "90d", "--models", " a, b,,a", "--rate", "60", "--json")

    document = json.loads(key("create", "laptop", *options).stdout)

    [kept] = read_keys(file)
    assert kept.expires == kept.created + 90 * 86_400
    assert (kept.models, kept.per_minute) == (("a", "b"), 60)
    assert find_key([kept], document["key"]) is kept
    assert "sha256" not in document


@pytest.mark.parametrize(
    "options",
    [
        ("--expires", "soon"),
        ("--expires", "0"),
        ("--models", ","),
        ("--rate", "0"),
        ("--rate", "1.5"),
    ],
)
def test_a_wrong_option_makes_no_key(file: Path, options: tuple[str, ...]) -> None:
    assert key("create", "laptop", *options).exit_code == 2
    assert not file.exists()


def test_a_key_that_never_expires_may_say_so(file: Path) -> None:
    secret_of("create", "laptop", "--expires", "forever")

    assert read_keys(file)[0].expires is None


def test_a_rotated_key_has_another_secret_and_the_old_one_is_none(file: Path) -> None:
    old = secret_of("create", "laptop", "--rate", "5")

    new = secret_of("rotate", "laptop")

    [kept] = read_keys(file)
    assert (find_key([kept], old), find_key([kept], new)) == (None, kept)
    assert kept.per_minute == 5


def test_a_removed_key_is_gone(file: Path) -> None:
    secret_of("create", "laptop")

    assert key("rm", "laptop").exit_code == 0
    assert read_keys(file) == ()


def test_the_list_shows_all_but_the_secret(file: Path) -> None:
    secret = secret_of("create", "laptop", "--models", "small", "--rate", "7")

    table, document = key("ls").stdout, json.loads(key("ls", "--json").stdout)

    assert [row["name"] for row in document] == ["laptop"]
    for word in ("laptop", "never", "small", "7"):
        assert word in table
    for said in (table, json.dumps(document)):
        assert secret not in said
        assert read_keys(file)[0].sha256 not in said


def test_without_keys_the_list_says_how_to_make_one(file: Path) -> None:
    assert "localllm key create" in key("ls").stdout
    assert json.loads(key("ls", "--json").stdout) == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("create", "laptop"), BadKeyName),
        (("create", "local"), BadKeyName),
        (("rm", "desktop"), NoSuchKey),
        (("rotate", "desktop"), NoSuchKey),
    ],
)
def test_a_name_that_is_taken_or_unknown_is_refused(
    file: Path, words: tuple[str, ...], kind: type[Exception]
) -> None:
    secret_of("create", "laptop")
    before = file.read_bytes()

    assert isinstance(key(*words).exception, kind)
    assert file.read_bytes() == before
