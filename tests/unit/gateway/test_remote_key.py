"""Where the remote's key comes from, and what is said when it is not there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.config.remote import Remote
from localllm.gateway import remote_key
from localllm.gateway.remote_key import RemoteKey
from localllm.gateway.remote_rules import RemoteFailed

pytestmark = pytest.mark.anyio

URL = "https://api.example/v1"
FROM_ENV = Remote(url=URL, key_env="FAR_KEY")
FROM_KEYRING = Remote(url=URL, keyring="https://api.example/me")
_MODULES = ("keyring", "keyring.errors")
KEYRING = """\
import time
from . import errors

def get_password(service, user):
    if user == "locked":
        raise errors.KeyringError("it is locked")
    if user == "slow":
        time.sleep(1)
    return {"https://api.example/me": "sk-kept"}.get(f"{service}/{user}")
"""


@pytest.fixture
def _a_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of the real one's name, and of its two names that are used."""
    (tmp_path / "keyring").mkdir()
    (tmp_path / "keyring" / "__init__.py").write_text(KEYRING)
    (tmp_path / "keyring" / "errors.py").write_text("class KeyringError(Exception): pass\n")
    real = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in _MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(real)


async def refusal(remote: Remote, environment: dict[str, str] | None = None) -> RemoteFailed:
    with pytest.raises(RemoteFailed) as caught:
        await RemoteKey(remote, environment or {}).read()
    assert not caught.value.retryable
    return caught.value


async def test_a_remote_that_needs_no_key_gets_none() -> None:
    assert await RemoteKey(Remote(url=URL), {"FAR_KEY": "sk"}).read() is None


@pytest.mark.parametrize("value", ["sk-1", " sk-1\n"])
async def test_the_key_is_what_the_variable_holds(value: str) -> None:
    assert await RemoteKey(FROM_ENV, {"FAR_KEY": value}).read() == "sk-1"


@pytest.mark.parametrize("environment", [{}, {"FAR_KEY": ""}, {"FAR_KEY": " \n"}])
async def test_a_variable_that_is_not_set_is_named(environment: dict[str, str]) -> None:
    error = await refusal(FROM_ENV, environment)

    assert "FAR_KEY is empty or not set" in error.why


@pytest.mark.parametrize("value", ["sk\nX-Other: 1", "sk 1", "skü", "sk\x00"])
async def test_what_cannot_be_a_key_is_refused_without_being_shown(value: str) -> None:
    error = await refusal(FROM_ENV, {"FAR_KEY": value})

    assert "FAR_KEY has characters" in error.why
    assert value not in str(error)


@pytest.mark.usefixtures("_a_keyring")
async def test_the_key_is_what_the_keyring_holds() -> None:
    assert await RemoteKey(FROM_KEYRING, {}).read() == "sk-kept"


@pytest.mark.usefixtures("_a_keyring")
async def test_an_entry_that_is_not_there_is_named_with_the_command_that_makes_it() -> None:
    error = await refusal(Remote(url=URL, keyring="far/you"))

    assert error.why == "the keyring has no entry for far/you"
    assert error.fix == "keyring set far you"


@pytest.mark.usefixtures("_a_keyring")
async def test_a_keyring_that_refuses_is_quoted() -> None:
    assert "it is locked" in (await refusal(Remote(url=URL, keyring="far/locked"))).why


@pytest.mark.usefixtures("_a_keyring")
async def test_a_keyring_that_waits_for_its_user_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_key, "_PATIENCE_S", 0.05)

    error = await refusal(Remote(url=URL, keyring="far/slow"))

    assert "did not answer" in error.why


async def test_without_the_package_a_keyring_cannot_be_asked_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    error = await refusal(FROM_KEYRING)

    assert "keyring is not installed" in error.why
    assert "key_env" in error.fix
