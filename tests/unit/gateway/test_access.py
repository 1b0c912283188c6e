"""Who may ask: attacks that are refused, and everyday requests that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.errors import Forbidden, LocalLLMError, NotJson, Unauthorized
from localllm.gateway.access import (
    Asked,
    Rules,
    check_access,
    cors_headers,
    preflight_headers,
)

PORT = 8123
TOKEN = "5" * 64
LISTED = "http://my.page:3000"
RULES = Rules(PORT, frozenset({LISTED}), TOKEN)
HOST = f"127.0.0.1:{PORT}"
BEARER = f"Bearer {TOKEN}"
JSON = "application/json"
CHAT, STATUS = "/v1/chat/completions", "/api/v1/status"


def asked(method: str = "GET", target: str = "/v1/models", **headers: str | list[str]) -> Asked:
    """Describe a request; a header's name has `_` for `-`, a list is a header sent twice."""
    given = {"host": HOST, **headers}
    named = {
        name.replace("_", "-"): [value] if isinstance(value, str) else value
        for name, value in given.items()
    }
    return Asked(method, target, named, has_body=method == "POST", peer="127.0.0.1")


def refusal(request: Asked, rules: Rules = RULES) -> type[LocalLLMError] | None:
    try:
        check_access(request, rules)
    except LocalLLMError as error:
        return type(error)
    return None


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"LocalHost:{PORT}", f"[::1]:{PORT}"])
def test_the_daemon_answers_to_its_own_names(host: str) -> None:
    assert refusal(asked(host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        f"evil.example:{PORT}",
        f"0.0.0.0:{PORT}",
        f"localhost.:{PORT}",
        f"a.localhost:{PORT}",
        f"127.1:{PORT}",
        f"127.0.0.2:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"2130706433:{PORT}",
        f"0x7f.0.0.1:{PORT}",
        f"[::ffff:127.0.0.1]:{PORT}",
        f"[::]:{PORT}",
        f"[0:0:0:0:0:0:0:1]:{PORT}",
        f"::1:{PORT}",
        f"user@127.0.0.1:{PORT}",
        f"evil.example@127.0.0.1:{PORT}",
        f"127.0.0.1:{PORT}@evil.example",
        f"127.0.0.1:{PORT + 1}",
        f"127.0.0.1:0{PORT}",
        f"127.0.0.1:{PORT}/",
        f" 127.0.0.1:{PORT}",
        f"127.0.0.1:{PORT}\t",
        f"127.0.0.1:{PORT}, evil.example",
        f"127.0.0.1 :{PORT}",
        f"\uff11\uff12\uff17.0.0.1:{PORT}",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:80",
        "localhost",
        f"http://127.0.0.1:{PORT}",
    ],
)
def test_any_other_host_is_refused(host: str) -> None:
    assert refusal(asked(host=host)) is Forbidden


def test_a_request_without_a_host_is_refused() -> None:
    assert refusal(asked(host=[])) is Forbidden


@pytest.mark.parametrize("name", ["host", "origin", "sec_fetch_site", "authorization"])
def test_a_header_that_decides_may_not_be_sent_twice(name: str) -> None:
    fine = {"host": HOST, "origin": LISTED, "sec_fetch_site": "none", "authorization": BEARER}[name]

    assert (
        refusal(asked("GET", STATUS, **{"authorization": BEARER, name: [fine, fine]})) is Forbidden
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:80"])
def test_a_host_without_a_port_is_port_80(host: str) -> None:
    assert refusal(asked(host=host), Rules(80, frozenset(), TOKEN)) is None


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/v1/models",
        f"http://{HOST}/v1/models",
        "localhost/v1/models",
        f"{HOST}",
        "*",
        "",
        "ftp://x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT"])
def test_a_target_that_is_no_path_is_refused(method: str, target: str) -> None:
    assert refusal(asked(method, target)) is Forbidden


@pytest.mark.parametrize("origin", [f"http://{HOST}", LISTED])
def test_its_own_origin_and_a_listed_one_may_ask(origin: str) -> None:
    assert refusal(asked(origin=origin)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        f"http://{HOST}.evil",
        f"http://{HOST}9",
        f"http://127.0.0.1:{PORT + 1}",
        f"http://localhost:{PORT}",  # its own, but of another Host
        f"https://{HOST}",
        f"HTTP://{HOST}",
        f"http://{HOST}/",
        "http://127.0.0.1",
        "*",
        f"{LISTED}.evil",
        f"{LISTED}/",
        LISTED.upper(),
        LISTED.removesuffix(":3000"),
        f"{LISTED} http://{HOST}",
        f"{LISTED}, {LISTED}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_any_other_origin_is_refused(method: str, origin: str) -> None:
    assert refusal(asked(method, CHAT, origin=origin, content_type=JSON)) is Forbidden


@pytest.mark.parametrize(
    ("method", "site", "origin", "refused"),
    [
        ("GET", "same-origin", None, None),
        ("POST", "same-origin", f"http://{HOST}", None),
        ("GET", "none", None, None),
        ("HEAD", "none", None, None),
        ("POST", "none", None, Forbidden),
        ("DELETE", "none", None, Forbidden),
        ("GET", "same-site", None, Forbidden),
        ("GET", "cross-site", None, Forbidden),
        ("POST", "cross-site", f"http://{HOST}", Forbidden),
        ("GET", "", None, Forbidden),
        ("GET", "Same-Origin", None, Forbidden),
        ("GET", "something-new", None, Forbidden),
        ("POST", "cross-site", LISTED, None),
        ("POST", "same-site", LISTED, None),
    ],
)
def test_what_a_browser_says_of_the_site_decides(
    method: str, site: str, origin: str | None, refused: type[LocalLLMError] | None
) -> None:
    headers = {"sec_fetch_site": site, "content_type": JSON}
    headers |= {} if origin is None else {"origin": origin}

    assert refusal(asked(method, CHAT, **headers)) is refused


@pytest.mark.parametrize(
    "target",
    [
        STATUS,
        f"{STATUS}?x=1",
        "/api",
        "/api/",
        "/api?",
        "/api#x",
        "/api/v1/nowhere",
        "/api/../v1/models",
        "//api/v1/status",
        "/API/v1/status",
        "/%61pi/v1/status",
        "/%61%70%69/v1/status",
        "/%41PI/v1/status",
        "/api%2fv1%2fstatus",
        "/%2fapi/v1/status",
        "/api%3fx",
        "/api;x=1/v1/status",
        "/api\\v1\\status",
        "/api%00/v1/status",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE", "PATCH"])
def test_a_path_that_reads_like_the_control_api_needs_the_token(method: str, target: str) -> None:
    assert refusal(asked(method, target, content_type=JSON)) is Unauthorized
    assert refusal(asked(method, target, content_type=JSON, authorization=BEARER)) is None


@pytest.mark.parametrize("target", ["/v1/models", "/v1/../api/v1/status", "/%2561pi", "/.;/api"])
def test_the_route_that_will_run_needs_the_token_however_its_path_is_spelled(target: str) -> None:
    request = replace(asked("GET", target), route="/api/v1/models/{id}/logs")

    assert refusal(request) is Unauthorized


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}5",
        f"Bearer  {TOKEN}",
        f"Basic {TOKEN}",
        f"bearer {TOKEN[:-1]}6",
        "Bearer é",
        TOKEN,
        f"Bearer Bearer {TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
    ],
)
def test_only_the_whole_token_as_a_bearer_is_a_token(given: str) -> None:
    assert refusal(asked(target=STATUS, authorization=given)) is Unauthorized


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_word_bearer_may_be_written_in_any_case(scheme: str) -> None:
    assert refusal(asked(target=STATUS, authorization=f"{scheme} {TOKEN}")) is None


@pytest.mark.parametrize(
    "target",
    ["/", "/v1/models", "/v1/models/api", "/healthz", "/readyz", "/metrics", "/apis", "/api.html"],
)
def test_what_is_not_the_control_api_needs_no_token(target: str) -> None:
    assert refusal(asked(target=target)) is None


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (JSON, None),
        ("application/json; charset=utf-8", None),
        ("Application/JSON", None),
        (" application/json ", None),
        ("", NotJson),
        (None, NotJson),
        ("text/plain", NotJson),
        ("text/plain; application/json", NotJson),
        ("application/x-www-form-urlencoded", NotJson),
        ("multipart/form-data; boundary=x", NotJson),
        ("application/jsonp", NotJson),
        ("application/json, text/plain", NotJson),
        ("application/vnd.api+json", NotJson),
    ],
)
def test_a_body_must_say_that_it_is_json(
    given: str | None, refused: type[LocalLLMError] | None
) -> None:
    headers = {} if given is None else {"content_type": given}

    assert refusal(asked("POST", CHAT, **headers)) is refused


def test_a_stranger_is_told_of_nothing_but_the_host() -> None:
    """The first rule decides: neither the token nor the body is looked at."""
    assert refusal(asked("POST", STATUS, host="evil.example", content_type="x")) is Forbidden


def test_a_listed_origin_is_named_exactly_and_caches_are_told() -> None:
    expected = {"Access-Control-Allow-Origin": LISTED, "Vary": "Origin"}

    assert cors_headers(LISTED, RULES) == expected


@pytest.mark.parametrize("origin", [None, "null", "*", f"http://{HOST}", f"{LISTED}.evil"])
def test_nobody_else_gets_headers_for_other_origins(origin: str | None) -> None:
    assert cors_headers(origin, RULES) == {}
    with pytest.raises(Forbidden):
        preflight_headers(origin, RULES)


def test_a_preflight_names_fixed_lists_without_wildcard_credentials_or_private_network() -> None:
    headers = preflight_headers(LISTED, RULES)

    assert headers == {
        "Access-Control-Allow-Origin": LISTED,
        "Vary": "Origin",
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Api-Key, "
        "Anthropic-Version, Anthropic-Beta",
    }


def test_a_preflight_carries_no_token_so_it_is_let_through_to_be_answered() -> None:
    preflight = asked("OPTIONS", STATUS, origin=LISTED, sec_fetch_site="cross-site")

    assert refusal(preflight) is None
