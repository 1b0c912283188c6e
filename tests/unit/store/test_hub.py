"""The one door to the hub: where its requests go, whom they trust, and what of its answers is taken."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory

from localllm.errors import ConfigError, LocalLLMError, NoNetwork
from localllm.formats.header import Format
from localllm.store import hub as door
from localllm.store.hub import HuggingFaceHub
from localllm.store.hub_errors import Conversion, only_safetensors
from localllm.store.repository import Repository, RepositoryFile
from tests.integration.test_outside import PROXIES, Proxy, serving
from tests.unit.store.a_hub_api import COMMIT, Answer, a_certificate, a_description, a_hub

DESCRIBED = "/api/models/me/tiny"
MODELS = "/api/models"
TINY = a_description({"rfilename": "m.gguf", "size": 4, "blobId": "a" * 40})
TOKEN = "hf_secret"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    huggingface_hub.set_client_factory(default_client_factory)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_certificate(tmp_path_factory.mktemp("tls"))


def fetch(endpoint: str, **environment: str) -> Repository:
    hub = HuggingFaceHub({"HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, **environment})
    return hub.fetch_repository("me/tiny", None)


def fetch_range(endpoint: str, **environment: str) -> bytes:
    hub = HuggingFaceHub({"HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, **environment})
    file = RepositoryFile("a b/m.gguf", 4)
    return hub.fetch_range(Repository("me/tiny", hub.host, COMMIT, (file,)), file, 0, 4)


def refusal(endpoint: str, **environment: str) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        fetch(endpoint, **environment)
    return caught.value


def loopback(port: int, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{port}"


def test_a_password_in_the_hubs_address_is_in_no_error_and_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = Answer(status=302, headers={"Location": "http://you:yours@elsewhere.invalid/x?sig=mine"})
    answers = [Answer({}, 500), Answer({}, 401), Answer({}, 404), Answer(b"<html>"), away]
    said = []
    for answer in [*answers, TINY]:
        with serving(a_hub({DESCRIBED: answer})) as server:
            endpoint = f"http://me:mine@127.0.0.1:{server.port}"
            if answer is TINY:
                assert fetch(endpoint).host == f"127.0.0.1:{server.port}"
            else:
                said.append(str(refusal(endpoint)))
    said += [str(refusal("http://me:mine@127.0.0.1:1")), str(refusal("http://me:mine@[no/"))]
    said.append(repr(HuggingFaceHub({"HF_ENDPOINT": "http://me:mine@x", "HF_TOKEN": "mine"})))

    assert not [one for one in said if "mine" in one or "yours" in one]


def packed(count: int) -> Answer:
    return Answer(gzip.compress(b" " * count), headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (packed(65 << 20), "longer than 64 MiB"),
        (replace(packed(65 << 10), status=500), "longer than 64 KiB"),
        (Answer(b" " * (65 << 10), 302, {"Location": "/x"}), "longer than 64 KiB"),
        (Answer(b"x", headers={"Content-Encoding": "br"}), "packed"),
        (Answer(b"x", headers={"Content-Encoding": "gzip, gzip"}), "packed"),
    ],
)
def test_an_answer_without_end_is_no_hubs(answer: Answer, why: str) -> None:
    with serving(a_hub({DESCRIBED: answer})) as server:
        error = refusal(loopback(server.port))

    assert isinstance(error, NoNetwork)
    assert why in error.why
    assert "does not answer as a hub does" in error.what


def test_an_answer_that_is_packed_is_read() -> None:
    answer = Answer(gzip.compress(TINY.data), headers={"Content-Encoding": "gzip"})
    with serving(a_hub({DESCRIBED: answer})) as server:
        assert fetch(loopback(server.port)).commit == COMMIT


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_companys_own_authority_is_trusted(certificate: Path, variable: str) -> None:
    with serving(a_hub({DESCRIBED: TINY}), certificate) as server:
        found = fetch(loopback(server.port, "https"), **{variable: str(certificate)})

    assert (found.name, found.commit, len(found.files)) == ("me/tiny", COMMIT, 1)


def test_a_certificate_of_nobodys_is_no_network_at_once(certificate: Path) -> None:
    with serving(a_hub({DESCRIBED: TINY}), certificate) as server:
        error = refusal(loopback(server.port, "https"))

    assert isinstance(error, NoNetwork)
    assert "certificate verify failed" in error.why
    assert "SSL_CERT_FILE" in error.fix
    assert server.lines == []


def test_a_file_of_certificates_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal("https://127.0.0.1:1", SSL_CERT_FILE=str(tmp_path / "none"))

    assert isinstance(error, ConfigError)
    assert error.what.startswith("SSL_CERT_FILE")


def test_an_https_hub_is_asked_through_the_proxy(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(a_hub({DESCRIBED: TINY}), certificate) as server, serving(Proxy) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", loopback(proxy.port))
        host = f"hub.invalid:{server.port}"

        found = fetch(f"https://{host}", SSL_CERT_FILE=str(certificate))

    assert found.name == "me/tiny"
    assert proxy.lines == [f"CONNECT {host}"]
    assert "authorization" not in {name.lower() for name in proxy.headers[0]}


def test_a_proxy_that_comes_or_goes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(a_hub({DESCRIBED: TINY})) as server, serving(Proxy) as proxy:
        fetch(loopback(server.port))
        monkeypatch.setenv("http_proxy", loopback(proxy.port))
        fetch(loopback(server.port))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        fetch(loopback(server.port))

    assert (len(proxy.lines), len(server.lines)) == (1, 3)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_is_said_until_it_is_corrected(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    with serving(a_hub({DESCRIBED: TINY})) as server:
        monkeypatch.setenv("ALL_PROXY", proxy)
        error = refusal(loopback(server.port))
        monkeypatch.delenv("ALL_PROXY")

        assert fetch(loopback(server.port)).name == "me/tiny"

    assert isinstance(error, ConfigError)
    assert "ALL_PROXY" in error.fix


def test_one_session_serves_all_requests() -> None:
    with serving(a_hub({DESCRIBED: TINY})) as server:
        fetch(loopback(server.port))
        first = huggingface_hub.get_session()
        fetch(loopback(server.port))

        assert huggingface_hub.get_session() is first


@pytest.mark.parametrize("ask", [fetch, fetch_range])
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_nothing_is_asked(ask: object, variable: str) -> None:
    with serving(a_hub({DESCRIBED: TINY})) as server, pytest.raises(NoNetwork) as caught:
        ask(loopback(server.port), **{variable: "1"})  # type: ignore[operator]

    assert caught.value.why == "HF_HUB_OFFLINE is set"
    assert server.lines == []


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9", "https://nothing.invalid", "http://", "ftp://127.0.0.1:9"]
)
def test_no_network_is_said_at_once(endpoint: str) -> None:
    before = monotonic()

    error = refusal(endpoint)

    assert isinstance(error, NoNetwork)
    assert error.why
    assert monotonic() - before < 5


@pytest.mark.parametrize("ask", [fetch, fetch_range])
def test_a_host_that_never_answers_is_given_up(
    ask: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NoNetwork) as caught:
        ask(loopback(silent.getsockname()[1]))  # type: ignore[operator]

    assert caught.value.why == "no answer within 0 s"


def test_a_mirror_may_have_a_path() -> None:
    path = f"/hf/me/tiny/resolve/{COMMIT}/a%20b/m.gguf"
    answers = {f"/hf{DESCRIBED}": TINY, path: Answer(b"GGUF")}
    with serving(a_hub(answers)) as server:
        mirror = f"{loopback(server.port)}/hf/"

        assert fetch(mirror).name == "me/tiny"
        assert fetch_range(mirror) == b"GGUF"


def test_a_redirect_to_another_server_does_not_carry_the_token() -> None:
    with serving(a_hub({"/elsewhere": TINY, "/file": Answer(b"GGUF")})) as other:
        there = loopback(other.port)
        answers = {
            DESCRIBED: Answer(status=307, headers={"Location": f"{there}/elsewhere"}),
            f"/me/tiny/resolve/{COMMIT}/a%20b/m.gguf": Answer(
                status=302, headers={"Location": f"{there}/file"}
            ),
        }
        with serving(a_hub(answers)) as server:
            fetch(loopback(server.port))
            fetch_range(loopback(server.port))

    assert [seen["Authorization"] for seen in server.headers] == [f"Bearer {TOKEN}"] * 2
    assert [seen["Authorization"] for seen in other.headers] == [None, None]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_to_what_is_neither_https_nor_the_hub_is_not_followed(
    certificate: Path, scheme: str
) -> None:
    with serving(a_hub({"/elsewhere": TINY})) as other:
        host = "127.0.0.1" if scheme == "https" else "localhost"
        there = f"http://{host}:{other.port}/elsewhere?signed=secret"
        led = a_hub({DESCRIBED: Answer(status=307, headers={"Location": there})})
        with serving(led, certificate if scheme == "https" else None) as server:
            error = refusal(loopback(server.port, scheme), SSL_CERT_FILE=str(certificate))

    assert "leads away" in error.what
    assert "secret" not in error.why
    assert other.lines == []


def test_a_listed_file_that_could_do_harm_is_left_out() -> None:
    odd = ("/m", "../m", "a\\m", "a\u001b[31m", "a\u202e.gguf", "x" * 1001, "a\n", "")
    siblings = [{"rfilename": path, "size": 1} for path in (*odd, "good.gguf")]

    with serving(a_hub({DESCRIBED: a_description(*siblings)})) as server:
        found = fetch(loopback(server.port))

    assert [file.path for file in found.files] == ["good.gguf"]


def test_a_hash_that_is_none_is_not_taken() -> None:
    described = a_description(
        {"rfilename": "a", "size": 1, "lfs": {"sha256": "../../x", "size": 1, "pointerSize": 1}},
        {"rfilename": "b", "size": 1, "lfs": {"sha256": "f" * 64, "size": 1, "pointerSize": 1}},
        {"rfilename": "c", "size": 1, "blobId": "../x"},
        {"rfilename": "d", "size": 1, "blobId": "e" * 40},
    )
    with serving(a_hub({DESCRIBED: described})) as server:
        found = fetch(loopback(server.port))

    assert [file.etag for file in found.files] == [None, "f" * 64, None, "e" * 40]


@pytest.mark.parametrize(
    "changes", [{"sha": "../x"}, {"sha": "c0ffee"}, {"id": "../x"}, {"id": "a/b\x1b[2J"}]
)
def test_an_answer_that_names_no_repository_and_commit_is_no_hubs(changes: dict[str, str]) -> None:
    with serving(a_hub({DESCRIBED: a_description(**changes)})) as server:
        error = refusal(loopback(server.port))

    assert "does not answer as a hub does" in error.what


def test_what_a_hub_says_is_quoted_for_the_terminal() -> None:
    said = Answer({"error": "\x1b[2J" + "x" * 900}, 500)
    with serving(a_hub({DESCRIBED: said})) as server:
        error = refusal(loopback(server.port))

    assert error.why.isprintable()
    assert len(error.why) < 200


def a_model(name: str, downloads: int) -> dict[str, object]:
    return {"id": name, "downloads": downloads, "tags": [], "private": False}


def test_conversions_are_those_that_say_what_they_are_made_from() -> None:
    listed = [a_model("a/Tiny-GGUF", 5), a_model("../x", 9), a_model("b/\x1bTiny", 9)]
    with serving(a_hub({MODELS: Answer(listed)})) as server:
        hub = HuggingFaceHub({"HF_ENDPOINT": loopback(server.port)})

        found = hub.fetch_conversions("me/tiny")

    assert found == [
        Conversion("a/Tiny-GGUF", Format.GGUF, 5),
        Conversion("a/Tiny-GGUF", Format.MLX, 5),
    ]
    asked = [parse_qs(urlsplit(line).query) for line in server.lines]
    assert [query["filter"] for query in asked] == [
        ["base_model:quantized:me/tiny", "gguf"],
        ["base_model:quantized:me/tiny", "mlx"],
    ]
    assert {(query["sort"][0], int(query["limit"][0]) <= 10) for query in asked} == {
        ("downloads", True)
    }


@pytest.mark.parametrize("body", [b"<html>", b'[{"x": 1}]', b"[1]"])
def test_conversions_of_what_is_no_hub_are_an_error_of_ours(body: bytes) -> None:
    with serving(a_hub({MODELS: Answer(body)})) as server, pytest.raises(NoNetwork):
        HuggingFaceHub({"HF_ENDPOINT": loopback(server.port)}).fetch_conversions("me/tiny")


def test_of_safetensors_alone_the_conversions_are_named_five_of_each() -> None:
    conversions = [
        *(Conversion(f"a/Tiny-{number}-GGUF", Format.GGUF, 9) for number in range(7)),
        Conversion("mlx-community/Tiny-4bit", Format.MLX, 3),
    ]

    error = only_safetensors("me/Tiny", conversions)

    assert error.why == (
        "GGUF: a/Tiny-0-GGUF, a/Tiny-1-GGUF, a/Tiny-2-GGUF, a/Tiny-3-GGUF, a/Tiny-4-GGUF; "
        "MLX: mlx-community/Tiny-4bit"
    )
    assert error.fix == "use one of these: localllm pull hf:a/Tiny-0-GGUF"
    assert error.exit_code == 5


def test_where_nobody_made_one_that_is_said() -> None:
    error = only_safetensors("me/Tiny", [])

    assert "no GGUF and no MLX" in error.why
    assert "Tiny GGUF" in error.fix
