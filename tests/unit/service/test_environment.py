"""What goes along into a service, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.service.environment import absolute, carried


def test_what_says_where_things_are_goes_along_and_the_rest_does_not() -> None:
    chosen = carried(
        {
            "LOCALLLM_HOME": "/h",
            "LOCALLLM_PORT": "1",
            "HF_HOME": "/hf",
            "CUDA_VISIBLE_DEVICES": "1",
            "PATH": "/bin",
            "https_proxy": "http://proxy:3128",
            "EDITOR": "vi",
            "HF_HUB_OFFLINE": "",
            "LOCALLLM_SOCKETS": "/run/x",
        }
    )

    assert chosen.variables == {
        "LOCALLLM_HOME": "/h",
        "LOCALLLM_PORT": "1",
        "HF_HOME": "/hf",
        "CUDA_VISIBLE_DEVICES": "1",
        "PATH": "/bin",
        "https_proxy": "http://proxy:3128",
    }
    assert chosen.left_out == ()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("HF_TOKEN", "hf_abc", "hf auth login"),
        ("HUGGING_FACE_HUB_TOKEN", "hf_abc", "hf auth login"),
        ("LOCALLLM_API_KEY", "lll-abc", "sounds secret"),
        ("HTTPS_PROXY", "http://me:pass@proxy:3128", "a password is in it"),
        ("all_proxy", "me:pass@proxy:3128", "a password is in it"),
        ("https_proxy", "http://me:pass/word@proxy:3128", "a password is in it"),
        ("ALL_PROXY", "socks5://me:pass#word@proxy", "a password is in it"),
        ("PIP_INDEX_URL", "https://u:p@index/simple", "a password is in it"),
        ("HF_HOME", "/a\x1b", "control character"),
    ],
)
def test_secrets_stay_out_and_the_user_is_told(name: str, value: str, why: str) -> None:
    chosen = carried({name: value})

    assert chosen.variables == {}
    [left_out] = chosen.left_out
    assert left_out.name == name
    assert why in left_out.why
    assert "pass" not in left_out.why.replace("a password", "")


def test_the_variable_that_the_settings_name_for_a_key_stays_out_whatever_it_is_called() -> None:
    chosen = carried(
        {"LOCALLLM_MINE": "s3cret", "LOCALLLM_REMOTE_KEY_ENV": "LOCALLLM_MINE"}, "LOCALLLM_MINE"
    )

    assert chosen.variables == {"LOCALLLM_REMOTE_KEY_ENV": "LOCALLLM_MINE"}
    assert [one.name for one in chosen.left_out] == ["LOCALLLM_MINE"]


def test_a_path_with_an_at_sign_in_it_is_no_password() -> None:
    path = {"PATH": "/opt/homebrew/opt/python@3.11/bin:/bin"}

    assert carried(path).variables == path


def test_paths_mean_in_any_folder_what_they_meant_in_that_of_the_shell() -> None:
    given = {
        "LOCALLLM_HOME": "llm",
        "PATH": ".venv/bin:/bin::~/bin",
        "HF_HOME": "~/hf",
        "OLLAMA_MODELS": "a:b",
        "LANG": "C",
    }

    assert absolute(given, Path("/home/me")) == {
        "LOCALLLM_HOME": "/home/me/llm",
        "PATH": "/home/me/.venv/bin:/bin::~/bin",
        "HF_HOME": "~/hf",
        "OLLAMA_MODELS": "/home/me/a:b",
        "LANG": "C",
    }
