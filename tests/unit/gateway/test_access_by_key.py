"""Who needs a key: by the address they come from, the name they ask for, and the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from localllm.api.keys import Key, hash_of
from localllm.errors import Forbidden, LocalLLMError, NotJson, NoUpgrade, Unauthorized
from localllm.gateway.access import Asked, Rules, check_access, preflight_headers
from localllm.gateway.callers import ANYONE, LOCALS, Caller

PORT, TOKEN, NOW = 8123, "5" * 64, 1_000.0
SECRET, OLD, OTHER = "sk-local-good", "sk-local-old", "sk-local-other"
LAN, FAR = "192.168.1.5", "192.168.1.77"
CHAT, STATUS = "/v1/chat/completions", "/api/v1/status"


def a_key(name: str, secret: str, *, expires: float | None = None) -> Key:
    return Key(
        id=f"id of {name}",
        name=name,
        sha256=hash_of(secret),
        created=0.0,
        expires=expires,
        models=("small", "tiny"),
        per_minute=7,
    )


KEYS = (a_key("ann", SECRET), a_key("late", OLD, expires=NOW), a_key("bob", OTHER))
ANN = Caller("ann", "id of ann", frozenset({"small", "tiny"}), 7)
AT_HOME = Rules(PORT, frozenset({"http://my.page"}), TOKEN, keys=KEYS)
SHARED = replace(AT_HOME, wants_key=True)
EXPOSED = replace(AT_HOME, is_exposed=True, names=frozenset({"mybox.lan", "proxy.lan:8443"}))


def asked(target: str = "/v1/models", method: str = "GET", **headers: str | list[str]) -> Asked:
    """Describe a request of this machine; a header's name has `_` for `-`."""
    given = {"host": f"127.0.0.1:{PORT}", **headers}
    named = {
        name.replace("_", "-"): [value] if isinstance(value, str) else value
        for name, value in given.items()
    }
    has_body = method == "POST"
    return Asked(method, target, named, has_body, target, "127.0.0.1", reached="127.0.0.1", at=NOW)


def from_afar(target: str = "/v1/models", method: str = "GET", **headers: str | list[str]) -> Asked:
    """Describe a request that came over the network."""
    return replace(
        asked(target, method, **{"host": f"{LAN}:{PORT}", **headers}), peer=FAR, reached=LAN
    )


def outcome(request: Asked, rules: Rules) -> Caller | type[LocalLLMError]:
    try:
        return check_access(request, rules)
    except LocalLLMError as error:
        return type(error)


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer local"}, {"x_api_key": "sk-1"}])
def test_a_program_of_this_machine_may_send_any_key_or_none(sent: dict[str, str]) -> None:
    assert outcome(asked(**sent), AT_HOME) == LOCALS


def test_one_that_shows_a_key_of_ours_is_known_by_it() -> None:
    assert outcome(asked(x_api_key=SECRET), AT_HOME) == ANN


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, Unauthorized),
        ({"authorization": f"Bearer {SECRET}"}, ANN),
        ({"authorization": f"bearer {SECRET}"}, ANN),
        ({"x_api_key": SECRET}, ANN),
        ({"authorization": f"Bearer {SECRET}", "x_api_key": SECRET}, ANN),
        ({"authorization": f"Bearer {SECRET}", "x_api_key": OTHER}, Unauthorized),
        ({"authorization": f"Bearer {OTHER}", "x_api_key": SECRET}, Unauthorized),
        ({"authorization": f"Bearer {SECRET}", "x_api_key": "sk-1"}, Unauthorized),
        ({"authorization": "Bearer sk-1", "x_api_key": SECRET}, Unauthorized),
        ({"authorization": "Bearer ", "x_api_key": SECRET}, ANN),
        ({"authorization": "Basic sk-1", "x_api_key": SECRET}, ANN),
        ({"authorization": f"Basic {SECRET}"}, Unauthorized),
        ({"authorization": SECRET}, Unauthorized),
        ({"authorization": f"Bearer {SECRET} "}, Unauthorized),
        ({"authorization": f"Bearer {SECRET[:-1]}"}, Unauthorized),
        ({"authorization": f"Bearer {SECRET}x"}, Unauthorized),
        ({"authorization": f"Bearer {hash_of(SECRET)}"}, Unauthorized),
        ({"authorization": f"Bearer {OLD}"}, Unauthorized),
        ({"x_api_key": OLD}, Unauthorized),
        ({"x_api_key": ""}, Unauthorized),
        ({"x_api_key": "caf\xe9"}, Unauthorized),
        ({"x_api_key": [SECRET, SECRET]}, Forbidden),
        ({"authorization": [f"Bearer {SECRET}"] * 2}, Forbidden),
        ({"cookie": SECRET}, Unauthorized),
    ],
)
@pytest.mark.parametrize("request_of", [asked, from_afar])
def test_where_a_key_is_needed_one_valid_key_is_what_counts(
    request_of: Callable[..., Asked], sent: dict[str, str | list[str]], expected: object
) -> None:
    rules = SHARED if request_of is asked else EXPOSED

    assert outcome(request_of(**sent), rules) == expected


def test_a_key_counts_until_the_moment_it_expires() -> None:
    request = replace(from_afar(x_api_key=OLD), at=NOW - 0.001)

    assert isinstance(outcome(request, EXPOSED), Caller)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({}, "the request has none"),
        ({"x_api_key": OLD}, "the key 'late' has expired"),
        ({"x_api_key": "sk-1"}, "the request's key is not known"),
        ({"x_api_key": "sk-1", "authorization": "Bearer sk-2"}, "two different keys"),
    ],
)
def test_it_is_said_what_is_wrong_with_a_key_and_never_the_key(
    sent: dict[str, str], why: str
) -> None:
    with pytest.raises(Unauthorized, match=why) as caught:
        check_access(from_afar(**sent), EXPOSED)

    assert not any(value.split()[-1] in str(caught.value) for value in sent.values())


@pytest.mark.parametrize(
    "target", ["/", "/metrics", CHAT, "/v1/nowhere", "/favicon.ico", "/healthz/x"]
)
@pytest.mark.parametrize("request_of", [asked, from_afar])
def test_what_is_not_known_to_be_open_needs_the_key(
    request_of: Callable[..., Asked], target: str
) -> None:
    rules = SHARED if request_of is asked else EXPOSED

    assert outcome(request_of(target), rules) is Unauthorized


@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
def test_whether_it_lives_it_tells_anyone(target: str) -> None:
    assert outcome(from_afar(target), EXPOSED) == ANYONE
    assert outcome(asked(target), SHARED) == ANYONE


def test_a_path_that_only_looks_open_is_not() -> None:
    request = replace(from_afar("/healthz"), route="")

    assert outcome(request, EXPOSED) is Unauthorized


def test_the_daemons_own_token_is_a_key_for_programs_of_this_machine_alone() -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}

    assert outcome(asked(**bearer), SHARED) == LOCALS
    assert outcome(asked(x_api_key=TOKEN), SHARED) == LOCALS
    assert outcome(asked(**bearer, x_api_key="sk-1"), SHARED) is Unauthorized
    assert outcome(from_afar(**bearer), EXPOSED) is Unauthorized


@pytest.mark.parametrize("target", [STATUS, "/api/v1/openapi.json", "/api", "/API/v1/status"])
@pytest.mark.parametrize(
    "changed",
    [
        {"peer": FAR},
        {"peer": ""},
        {"peer": "127.0.0.2"},
        {"peer": "::ffff:127.0.0.1"},
        {"headers": {"host": ["mybox.lan"]}},
        {"headers": {"host": [f"{LAN}:{PORT}"]}, "reached": LAN},
    ],
)
def test_the_control_api_is_for_this_machine_whatever_is_shown(
    target: str, changed: dict[str, object]
) -> None:
    request = replace(asked(target), **changed)  # type: ignore[arg-type]
    shown = {**request.headers, "authorization": [f"Bearer {TOKEN}"], "x-api-key": [SECRET]}

    assert outcome(replace(request, headers=shown), EXPOSED) is Forbidden


def test_a_key_is_no_token() -> None:
    assert outcome(asked(STATUS, authorization=f"Bearer {SECRET}"), AT_HOME) is Unauthorized


def test_its_description_is_the_one_thing_that_the_control_api_tells_without_its_token() -> None:
    assert outcome(asked("/api/v1/openapi.json"), SHARED) == LOCALS
    assert outcome(asked("/api/v1/openapi.json", "POST"), SHARED) is Unauthorized
    spelled = replace(asked("/api/v1/openapi.json"), route="")
    assert outcome(spelled, SHARED) is Unauthorized


@pytest.mark.parametrize(
    "host",
    [f"{LAN}:{PORT}", f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}", "mybox.lan",
     f"mybox.lan:{PORT}", "MyBox.lan", "proxy.lan:8443"],
)  # fmt: skip
def test_beyond_loopback_it_has_the_address_it_is_reached_at_and_the_listed_names(
    host: str,
) -> None:
    assert outcome(from_afar(host=host, x_api_key=SECRET), EXPOSED) == ANN


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", f"192.168.1.6:{PORT}", LAN, f"{LAN}:80", f"0.0.0.0:{PORT}",
     f"[::]:{PORT}", "proxy.lan", f"proxy.lan:{PORT}", "mybox.lan:80", "mybox.lan.", f"x.mybox.lan:{PORT}",
     f"mybox.lan@evil.example:{PORT}", f"[::ffff:{LAN}]:{PORT}"],
)  # fmt: skip
def test_any_other_host_is_refused_there_whatever_key_it_shows(host: str) -> None:
    assert outcome(from_afar(host=host, x_api_key=SECRET), EXPOSED) is Forbidden


@pytest.mark.parametrize(
    ("reached", "host"),
    [("fd00::5", f"[fd00::5]:{PORT}"), ("fe80::5%eth0", f"[fe80::5]:{PORT}")],
)
def test_an_address_of_six_words_is_a_host_in_brackets(reached: str, host: str) -> None:
    request = replace(from_afar(host=host, x_api_key=SECRET), reached=reached)

    assert outcome(request, EXPOSED) == ANN


def test_on_loopback_the_address_it_is_reached_at_is_no_name_of_its_own() -> None:
    request = replace(asked(host=f"{LAN}:{PORT}"), reached=LAN)

    assert outcome(request, AT_HOME) is Forbidden


@pytest.mark.parametrize("name", ["host", "origin", "sec_fetch_site"])
def test_a_key_opens_no_door_for_a_web_page(name: str) -> None:
    odd = {"host": "evil.example", "origin": "http://evil.example", "sec_fetch_site": "cross-site"}

    for request, rules in ((asked, SHARED), (from_afar, EXPOSED)):
        assert outcome(request(x_api_key=SECRET, **{name: odd[name]}), rules) is Forbidden


def test_a_page_of_the_daemons_own_address_needs_the_key_like_everybody() -> None:
    origin = {"origin": f"http://{LAN}:{PORT}", "sec_fetch_site": "same-origin"}

    assert outcome(from_afar(**origin), EXPOSED) is Unauthorized
    assert outcome(from_afar(**origin, x_api_key=SECRET), EXPOSED) == ANN


def test_with_a_key_the_body_must_still_be_json() -> None:
    assert outcome(from_afar(CHAT, "POST", x_api_key=SECRET), EXPOSED) is NotJson


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c, websocket"])
def test_a_web_socket_is_refused_so_that_its_client_goes_on_without(upgrade: str) -> None:
    assert outcome(asked("/v1/responses", upgrade=upgrade), AT_HOME) is NoUpgrade
    assert outcome(from_afar("/v1/responses", upgrade=upgrade), EXPOSED) is Unauthorized
    assert outcome(asked(STATUS, upgrade=upgrade), AT_HOME) is Unauthorized
    foreign = {"origin": "http://evil.example", "upgrade": upgrade}
    assert outcome(asked("/v1/responses", **foreign), AT_HOME) is Forbidden


def test_a_preflight_may_announce_either_keys_header() -> None:
    allowed = preflight_headers("http://my.page", AT_HOME)["Access-Control-Allow-Headers"]

    assert {"Authorization", "X-Api-Key"} <= set(allowed.split(", "))
