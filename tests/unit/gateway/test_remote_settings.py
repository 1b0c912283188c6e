"""What config.toml may say of a remote, and that it may hold no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.config.reading import read_settings
from localllm.config.remote import Remote
from localllm.config.settings import Settings
from localllm.errors import ConfigError

HERE = '[remote]\nurl = "https://api.example/v1"\n'


def read(folder: Path, text: str) -> Settings:
    (folder / "config.toml").write_text(text)
    return read_settings(folder / "config.toml", {})


def test_there_is_no_remote_until_one_is_named_and_it_gets_nothing_until_it_says_what(
    tmp_path: Path,
) -> None:
    named = read(tmp_path, HERE).remote

    assert read(tmp_path, "").remote is None
    assert named == Remote(url="https://api.example/v1")
    assert named.when == ()


def test_a_remote_says_what_goes_there_under_which_names_and_where_its_key_is(
    tmp_path: Path,
) -> None:
    said = 'when = ["overflow", "fallback"]\nmodel = "big"\nkey_env = "FAR_KEY"\n'

    remote = read(tmp_path, HERE + said + 'models = { small = "small-2026" }\n').remote

    assert remote == Remote(
        url="https://api.example/v1",
        when=("overflow", "fallback"),
        model="big",
        key_env="FAR_KEY",
        models={"small": "small-2026"},
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HERE + 'key = "sk-secret"', "a key in this file is shown to whoever reads"),
        (HERE + 'key_env = "A"\nkeyring = "s/u"', "two places for one key"),
        (HERE + 'key_env = "sk_secret"', "remote.key_env"),
        (HERE + 'keyring = "service"', "remote.keyring"),
        (HERE + 'when = ["always"]', "remote.when"),
        (HERE + 'when = "overflow"', "remote.when"),
        ('[remote]\nwhen = ["overflow"]', "remote has no url"),
        ('[remote]\nurl = "api.example/v1"', "remote.url"),
        ('[remote]\nurl = "ftp://api.example"', "remote.url"),
        ('[remote]\nurl = "https://me:secret@api.example/v1"', "remote.url"),
        ('[remote]\nurl = "https://api.example/v1?key=secret"', "remote.url"),
        ('[remote]\nurl = "https://api.example/v1\\n"', "remote.url"),
    ],
)
def test_a_mistake_is_named_and_no_secret_is_shown(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert why in caught.value.why
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://[::1]:8000", "https://a.b/c/"])
def test_a_remote_may_be_any_server(tmp_path: Path, url: str) -> None:
    remote = read(tmp_path, f'[remote]\nurl = "{url}"').remote

    assert remote is not None
    assert remote.url == url


def test_a_key_that_is_misspelled_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, HERE + 'keyenv = "A"')

    assert caught.value.fix.startswith("write key_env instead of keyenv in")
