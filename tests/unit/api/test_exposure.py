"""What others can reach, by the address that the daemon listens on."""

from __future__ import annotations

import pytest

from localllm.api.exposure import addresses_of, check_exposure, is_exposed, render_exposure
from localllm.api.keys import Key
from localllm.errors import ConfigError


def a_key(expires: float | None = None) -> Key:
    return Key(
        id="a", name="a", sha256="", created=0.0, expires=expires, models=None, per_minute=None
    )


@pytest.mark.parametrize(
    ("listen", "addresses", "exposed"),
    [
        ("127.0.0.1", ("127.0.0.1", "::1"), False),
        ("::1", ("127.0.0.1", "::1"), False),
        ("0:0:0:0:0:0:0:1", ("127.0.0.1", "::1"), False),
        ("0.0.0.0", ("0.0.0.0", "::1"), True),
        ("::", ("0.0.0.0", "::"), True),
        ("0::0", ("0.0.0.0", "::"), True),
        ("192.168.1.5", ("127.0.0.1", "192.168.1.5", "::1"), True),
        ("127.0.0.2", ("127.0.0.1", "127.0.0.2", "::1"), True),
        ("fe80::5%eth0", ("127.0.0.1", "fe80::5%eth0", "::1"), True),
    ],
)
def test_it_listens_on_loopback_in_any_case(
    listen: str, addresses: tuple[str, ...], exposed: bool
) -> None:
    assert (addresses_of(listen), is_exposed(listen)) == (addresses, exposed)


@pytest.mark.parametrize("listen", ["", "localhost", "1.2.3", "256.1.1.1", "127.0.0.1/8", ":"])
def test_what_is_no_address_is_an_error_that_says_which_are(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 for all of IPv4"):
        addresses_of(listen)


@pytest.mark.parametrize(
    ("keys", "why"), [((), "there is no key"), ((a_key(5.0), a_key(10.0)), "all keys have expired")]
)
def test_beyond_loopback_it_does_not_start_without_a_valid_key(
    keys: tuple[Key, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        check_exposure("0.0.0.0", keys, now=10.0)

    assert "localllm key create" in caught.value.fix
    check_exposure("127.0.0.1", keys, now=10.0)
    check_exposure("0.0.0.0", (*keys, a_key(11.0)), now=10.0)


def test_it_says_what_others_reach_and_nothing_where_they_reach_nothing() -> None:
    keys = (a_key(), a_key(5.0))

    said = render_exposure("fd00::5", 11711, keys, now=10.0)

    assert said is not None
    for word in ("http://[fd00::5]:11711", "/v1 and /metrics", "1 valid", "not encrypted"):
        assert word in said
    assert render_exposure("127.0.0.1", 11711, keys, now=10.0) is None
