"""What it takes to ask a hub, compared with what huggingface_hub itself finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from localllm.errors import ConfigError
from localllm.store.access import file_url, find_token, host_of, hub_access, is_offline
from localllm.store.places import hub_cache

_ASK = """
import json
from huggingface_hub import constants
from huggingface_hub.utils import build_hf_headers
print(json.dumps([
    constants.ENDPOINT,
    build_hf_headers().get("authorization"),
    constants.HF_HUB_CACHE,
    constants.is_offline_mode(),
]))
"""


def library(environment: dict[str, str]) -> list[object]:
    """What the library finds, which reads its variables once, as it is imported."""
    plain = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    said = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(said.stdout))


def ours(environment: dict[str, str]) -> list[object]:
    access = hub_access(environment)
    return [
        access.endpoint,
        access.headers.get("authorization"),
        str(hub_cache(environment)),
        is_offline(environment),
    ]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (".cache/huggingface", "elsewhere", "xdg/huggingface"):
        file = tmp_path / place / "token"
        file.parent.mkdir(parents=True)
        file.write_text(f"hf_of_{file.parent.name}\r\n")
    return tmp_path


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"HF_TOKEN": " hf_stated\n", "HF_ENDPOINT": "https://mirror.example/hf/"},
        {"HF_TOKEN": "", "HF_HUB_OFFLINE": "0"},
        {"HUGGING_FACE_HUB_TOKEN": "hf_old", "HF_HUB_OFFLINE": "yes"},
        {"HF_HOME": "~/elsewhere", "TRANSFORMERS_OFFLINE": "ON"},
        {"HF_HOME": "$HOME/elsewhere", "HF_HUB_OFFLINE": "1"},
        {"HF_TOKEN_PATH": "${HOME}/elsewhere/token", "HF_HUB_CACHE": "~/c"},
        {"HF_TOKEN_PATH": "/nowhere/token"},
        {"XDG_CACHE_HOME": "/nowhere", "HUGGINGFACE_HUB_CACHE": "~/c"},
        {"HF_TOKEN": "hf_stated", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"},
    ],
)
def test_endpoint_token_cache_and_offline_mode_are_those_of_the_library(
    home: Path, stated: dict[str, str]
) -> None:
    environment = {"HOME": str(home), **stated}

    assert ours(environment) == library(environment)


def test_the_token_is_never_shown(home: Path) -> None:
    access = hub_access({"HF_TOKEN": "hf_secret"})

    assert access.headers["authorization"] == "Bearer hf_secret"
    assert "hf_secret" not in repr(access)
    assert access.headers["user-agent"].startswith("localllm/")


@pytest.mark.parametrize("token", ["hf_a b", "hf_größe", "hf_\x00", "x" * 20_000])
def test_a_token_that_cannot_be_sent_is_said_without_showing_it(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_token({"HF_TOKEN": token})

    assert token not in str(caught.value)


def test_a_token_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert find_token({"HF_TOKEN_PATH": str(tmp_path)}) is None
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert find_token({"HF_HOME": str(tmp_path)}) is None


@pytest.mark.parametrize("path", ["m.gguf", "Q8_0/a b+c%d#e?f&größe.gguf", "a/b-00001-of-2.gguf"])
@pytest.mark.parametrize("commit", ["c0ffee", "refs/pr/1"])
def test_a_files_address_is_the_librarys(path: str, commit: str) -> None:
    endpoint = "https://mirror.example/hf"

    ours = file_url(endpoint, "me/tiny", commit, path)

    assert ours == huggingface_hub.hf_hub_url("me/tiny", path, revision=commit, endpoint=endpoint)


def test_finding_out_does_not_import_the_library() -> None:
    code = (
        "import sys; from localllm.store import access; access.hub_access({});"
        "print([m for m in ('huggingface_hub', 'httpx2', 'aiohttp') if m in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"


def test_a_mirrors_password_is_in_its_address_and_shown_to_nobody() -> None:
    access = hub_access({"HF_ENDPOINT": "https://me:mine@mirror.example:8443/hf/"})

    assert access.endpoint == "https://me:mine@mirror.example:8443/hf"
    assert "mine" not in repr(access)
    assert host_of(access.endpoint) == "mirror.example:8443"
