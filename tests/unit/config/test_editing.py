"""One key at a time: comments and order stay, and what would be wrong is not written."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.config.default_file import render_default
from localllm.config.editing import change, find_setting, parse_value, split_key, with_value
from localllm.config.leaves import changes_between
from localllm.config.reading import read_settings
from localllm.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def say(file: Path, key: str, *words: str) -> None:
    setting, path = find_setting(key)
    change(file, path, parse_value(setting, words))


def test_what_is_said_counts_and_what_else_stands_there_stays(file: Path) -> None:
    file.write_text("# mine\nport = 80  # eighty\n\n[plan]\nreserve_mib = 1\n")

    say(file, "port", "81")
    say(file, "auth", "always")
    say(file, "profiles.coding.context", "4096")
    say(file, "profiles.coding.sampling.top_k", "5")

    text, settings = file.read_text(), read_settings(file, {})
    assert "# mine\nport = 81  # eighty\n" in text
    assert (settings.auth, settings.plan.reserve_mib) == ("always", 1)
    assert settings.profiles["coding"].context == 4096
    assert settings.profiles["coding"].sampling.top_k == 5


def test_in_the_written_default_it_is_said_where_it_is_explained(file: Path) -> None:
    file.write_text(render_default())

    say(file, "supervision.max_crashes", "5")

    before, after = render_default().splitlines(), file.read_text().splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        ("#max_crashes = 3", "max_crashes = 5")
    ]


@pytest.mark.parametrize(
    ("key", "words", "value"),
    [
        ("port", ["81"], 81),
        ("engine", ["81"], "81"),
        ("engine", ['"llama-server"'], "llama-server"),
        ("listen", ["0.0.0.0"], "0.0.0.0"),
        ("allow_cpu", ["true"], True),
        ("supervision.stable_after_s", ["5"], 5.0),
        ("origins", ["http://a"], ["http://a"]),
        ("origins", ["http://a", "http://b"], ["http://a", "http://b"]),
        ("origins", ["[]"], []),
        ('names.map."claude-*"', ["small"], "small"),
        ("profiles.a.variants.fast.thinking", ["false"], False),
    ],
)
def test_a_word_is_read_as_the_setting_takes_it(key: str, words: list[str], value: object) -> None:
    setting, path = find_setting(key)

    assert parse_value(setting, words) == value
    assert path == split_key(key)


@pytest.mark.parametrize(
    ("key", "words", "why"),
    [
        ("prot", ["1"], "the nearest are port"),
        ("port", ["abc"], "it takes a whole number from 1 to 65535"),
        ("profiles.a.use", ["codng"], 'it takes "chat", "code", "embed" or "vision"'),
        ("remote.key", ["sk"], "the nearest are remote"),
    ],
)
def test_what_is_no_setting_or_not_taken_is_refused(key: str, words: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        setting, _ = find_setting(key)
        parse_value(setting, words)

    assert why in caught.value.why


def test_what_would_be_wrong_is_not_written(file: Path) -> None:
    file.write_text("port = 80\n")

    with pytest.raises(ConfigError):
        say(file, "profiles.a.draft_tokens", "3")

    assert file.read_text() == "port = 80\n"


def test_a_key_that_is_taken_out_is_what_it_is_by_itself_again(file: Path) -> None:
    file.write_text("port = 80  # eighty\nauth = 'always'\n[profiles.a]\ncontext = 1\n")

    change(file, ("port",), None)
    change(file, ("profiles", "a"), None)

    settings = read_settings(file, {})
    assert (settings.port, settings.auth, settings.profiles) == (11711, "always", {})
    with pytest.raises(ConfigError, match="port is not set"):
        change(file, ("port",), None)


def test_a_link_stays_one_and_the_rights_of_the_file_stay(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("port = 80\n")
    kept.chmod(0o640)
    file.symlink_to(kept)

    say(file, "port", "81")

    assert file.is_symlink()
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("port = 81\n", 0o640)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_file_that_is_not_there_is_made(file: Path) -> None:
    say(file, "port", "81")

    assert read_settings(file, {}).port == 81


def test_what_is_no_toml_is_not_changed() -> None:
    with pytest.raises(ConfigError, match="is not TOML"):
        with_value("port = ", ("auth",), "always")


INLINE = "profiles = { a = { context = 1 } }  # mine\n"
LINES = '[remote]\nurl = "http://x"\nmodel = """\n[plan]\n#reserve_mib = 0\n"""\n'


@pytest.mark.parametrize(
    ("text", "key", "word", "stays"),
    [
        (INLINE, "profiles.b.context", "9", "{ a = { context = 1 }"),
        (LINES, "plan.reserve_mib", "7", LINES),
        ("profiles.a.context = 5 # c\n", "profiles.b.context", "9", "profiles.a.context = 5 # c\n"),
        ("[profiles.a]\n[plan]\n[profiles.c]\n", "profiles.b.context", "9", "[plan]\n"),
    ],
)
def test_nothing_else_is_changed_however_the_file_is_written(
    file: Path, text: str, key: str, word: str, stays: str
) -> None:
    file.write_text(text)
    before = read_settings(file, {})

    say(file, key, word)

    after = read_settings(file, {})
    assert stays in file.read_text()
    changes = changes_between(before, after)
    assert key in [one.key for one in changes]
    assert {one.key for one in changes if one.old is not None} <= {key}


def test_what_cannot_be_said_there_is_refused_and_the_file_stays(file: Path) -> None:
    file.write_text("profiles = 3\n")

    with pytest.raises(ConfigError, match="cannot be said"):
        say(file, "profiles.a.context", "1")

    assert file.read_text() == "profiles = 3\n"


def test_line_ends_of_another_system_stay(file: Path) -> None:
    file.write_bytes(b"# mine\r\nport = 80\r\n")

    say(file, "port", "81")

    assert file.read_bytes() == b"# mine\r\nport = 81\r\n"
