"""What a user types or pastes, and which repository's model it names."""

from __future__ import annotations

import pytest

from localllm.errors import ModelNotFound
from localllm.store.names import (
    RepositoryName,
    is_a_path,
    is_inside,
    is_repository,
    parse_repository_name,
    shown,
    with_quant,
)

A = "https://huggingface.co/me/Tiny-GGUF"
MIRROR = "https://mirror.example/hf"
COMMIT = "c0ffee" + "0" * 34
TINY = RepositoryName("me/Tiny-GGUF")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("me/Tiny-GGUF", TINY),
        ("hf:me/Tiny-GGUF", TINY),
        ("hf:me/Tiny.1-GGUF:Q4_K_M", RepositoryName("me/Tiny.1-GGUF", "Q4_K_M")),
        ("me/Tiny-GGUF:Q8_0@v1.0", RepositoryName("me/Tiny-GGUF", "Q8_0", "v1.0")),
        ("me/Tiny-GGUF@refs/pr/1", RepositoryName("me/Tiny-GGUF", None, "refs/pr/1")),
    ],
)
def test_a_name_may_have_a_quantization_and_a_revision(text: str, name: RepositoryName) -> None:
    assert parse_repository_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *("tiny", "qwen3:8b", "a/b/c", "hf:", "hf:a/b:", "a/b@", "ollama:qwen3:8b", "ollama:a/b:c"),
        *("./a/b", "/a/b", "~/a", "a/../b", "me/x@../y", "me/x@a//b", "me/..", "a b/c", "a/b\n"),
        *("me/file.gguf", "a/b\x1b[31m", ""),
    ],
)
def test_what_is_no_repository_is_none(text: str) -> None:
    assert parse_repository_name(text) is None


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ("", TINY),
        ("/", TINY),
        ("?library=llama-cpp-python#usage", TINY),
        ("/tree/main", TINY),
        ("/tree/main/", TINY),
        ("/tree/main/Q4_K_M", TINY),
        ("/discussions/3", TINY),
        ("/blob/main/README.md", TINY),
        (":Q4_K_M", RepositoryName("me/Tiny-GGUF", "Q4_K_M")),
        ("/tree/v1.0", RepositoryName("me/Tiny-GGUF", None, "v1.0")),
        (f"/commit/{COMMIT}", RepositoryName("me/Tiny-GGUF", None, COMMIT)),
        ("/tree/refs%2Fpr%2F1", RepositoryName("me/Tiny-GGUF", None, "refs/pr/1")),
        ("/tree/refs/pr/1", RepositoryName("me/Tiny-GGUF", None, "refs/pr/1")),
        ("/blob/main/t-Q8_0.gguf", RepositoryName("me/Tiny-GGUF", None, None, "t-Q8_0.gguf")),
        (
            "/resolve/main/t-Q8_0.gguf?download=true",
            RepositoryName("me/Tiny-GGUF", None, None, "t-Q8_0.gguf"),
        ),
        (
            "/blob/refs%2Fpr%2F1/Q8_0/t%20one-Q8_0.gguf",
            RepositoryName("me/Tiny-GGUF", None, "refs/pr/1", "Q8_0/t one-Q8_0.gguf"),
        ),
    ],
)
@pytest.mark.parametrize(
    "site",
    [
        *("https://huggingface.co", "https://www.huggingface.co", "http://huggingface.co"),
        *("https://hf.co", "HTTPS://HuggingFace.co", "huggingface.co", "hf.co"),
        *("https://huggingface.co/models", "https://huggingface.co/api/models"),
    ],
)
def test_an_address_from_a_browser_names_a_repository_a_revision_and_a_file(
    site: str, behind: str, expected: RepositoryName
) -> None:
    assert parse_repository_name(f"{site}/me/Tiny-GGUF{behind}") == expected


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (MIRROR, f"{MIRROR}/me/Tiny-GGUF/tree/main"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/me/Tiny-GGUF"),
        ("https://mirror.example:443", "https://mirror.example/me/Tiny-GGUF"),
        (MIRROR, A),
    ],
)
def test_a_mirrors_own_addresses_are_taken_too(endpoint: str, url: str) -> None:
    assert parse_repository_name(url, endpoint) == TINY


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("https://github.com/me/tiny", "is on no model hub"),
        ("https://huggingface.co.evil.example/me/tiny", "is on no model hub"),
        ("https://mirror.example/me/tiny", "is on no model hub"),
        ("http://127.0.0.1:8001/me/tiny", "is on no model hub"),
        ("https://[me/tiny", "is on no model hub"),
        ("https://huggingface.co:x/me/tiny", "is on no model hub"),
        ("https://huggingface.co/datasets/me/data", "names no model"),
        ("https://huggingface.co/spaces/me/demo", "names no model"),
        ("https://huggingface.co/me", "names no model"),
        ("https://huggingface.co/", "names no model"),
        ("https://huggingface.co/models", "names no model"),
        ("https://huggingface.co/me/%2E%2E", "names no model"),
        ("https://huggingface.co/a%2Fb/c", "names no model"),
        (f"{A}/tree/..%2F..", "names no model"),
        (f"{A}/blob/main/..%2F..%2Fm.gguf", "names no model"),
        (f"{A}/blob/main/a%1B%5B31m.gguf", "names no model"),
    ],
)
def test_an_address_of_no_model_says_so_and_what_to_do(url: str, what: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        parse_repository_name(url, "https://mirror.example/hf")

    assert what in caught.value.what
    assert caught.value.fix


def test_a_terminal_is_safe_from_an_address() -> None:
    with pytest.raises(ModelNotFound) as caught:
        parse_repository_name("https://evil.example/\x1b[31m\u202e" + "x" * 900)

    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("m.gguf", True),
        ("./m", True),
        ("/m", True),
        ("~/m", True),
        ("a/../b", True),
        ("me/tiny", False),
        (f"{A}/blob/main/t.gguf", False),
        ("hf.co/me/tiny/resolve/main/t.gguf", False),
        ("ollama:hf.co/me/tiny:Q8_0", False),
    ],
)
def test_addresses_and_names_of_ollama_are_no_paths(text: str, *, is_path: bool) -> None:
    assert is_a_path(text) is is_path


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("m.gguf", True),
        ("Q4_K_M/größe (new) m-00001-of-00002.gguf", True),
        *((path, False) for path in ("", "/m", "../m", "a/../m", "a//m", "a/./m", "a\\m", "a/")),
        *((f"a{odd}.gguf", False) for odd in "\n\r\t\0\x1b\x7f\x9b\u202e\u2028\ufeff"),
        ("x" * 1001, False),
    ],
)
def test_a_listed_path_stays_inside_and_is_fit_for_a_terminal(path: str, *, inside: bool) -> None:
    assert is_inside(path) is inside


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me/tiny", "hf:me/tiny:Q8_0"),
        ("me/tiny@v1", "hf:me/tiny:Q8_0@v1"),
        (f"{A}/tree/main", "hf:me/Tiny-GGUF:Q8_0"),
        ("tiny", "tiny:Q8_0"),
    ],
)
def test_a_quantization_is_put_where_it_belongs(text: str, expected: str) -> None:
    assert with_quant(text, "Q8_0") == expected


@pytest.mark.parametrize("text", ["hf.co/x", "https://x", "hf:a/b", "a/b:c", "a/b@c", "a", "a/b/c"])
def test_only_owner_and_name_are_a_repository(text: str) -> None:
    assert is_repository("me/Tiny-GGUF")
    assert not is_repository(text)


def test_what_is_shown_of_foreign_text_is_short_and_plain() -> None:
    assert shown("Qwen/Qwen3-8B's") == "Qwen/Qwen3-8B's"
    assert shown("größe") == "größe"
    assert shown("\x1b[2J\u202e") == "\\x1b[2J\\u202e"
    assert len(shown("x" * 999)) < 130
