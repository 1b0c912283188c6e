"""What may go to the remote, under which name, and what its refusals mean. Pure."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from localllm.config.remote import Remote
from localllm.errors import (
    BadRequest,
    Busy,
    ContextTooLong,
    EngineGone,
    LocalLLMError,
    ModelNotFound,
    NotReady,
    StartFailed,
)
from localllm.gateway.members import with_members
from localllm.supervisor.resolving import WHATEVER

_MOST_SAID = 400
_KEY_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_CLIENTS_FAULT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_MAY_PASS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})


class RemoteFailed(LocalLLMError):
    """The remote could not be asked, or did not answer as it should.

    Args:
        will_pass: The same request may succeed later, though nobody changes a setting.
    """

    http_status = 502

    def __init__(self, what: str, *, why: str, fix: str, will_pass: bool = True) -> None:
        super().__init__(what, why=why, fix=fix)
        self.retryable = will_pass


class _Detail(msgspec.Struct):
    """Source: the schema Error in openai/openai-openapi; other servers send numbers as code."""

    message: str = ""
    code: str | int | None = None


class _Refusal(msgspec.Struct):
    error: _Detail


def may_go(error: LocalLLMError, name: str | None, remote: Remote) -> bool:
    """Tell whether what failed here with `error`, and no byte of an answer, may go there.

    Never what is the client's mistake: it would be one there, too.
    """
    match error:
        case Busy():
            return "overflow" in remote.when
        case ModelNotFound():
            return "fallback" in remote.when and name in remote.models
        case StartFailed() | NotReady() | EngineGone():
            return "fallback" in remote.when
        case _:
            return False


def name_there(asked: str | None, means: str | None, here: str | None, remote: Remote) -> str:
    """Find what the remote calls a model.

    Args:
        asked: What the client calls it; None if it left it to us.
        means: What that leads to here, see resolving.py.
        here: Its id here; None if nothing serves it here.
    """
    names = [name for name in (asked, means, here) if name is not None]
    listed = (remote.models[name] for name in names if name in remote.models)
    meaningful = [name for name in (means, asked, here) if name not in {None, WHATEVER}]
    return next(listed, None) or remote.model or next(iter(meaningful), None) or WHATEVER


_FOR_ENGINES = ("timings_per_token", "return_progress")
"""What translations ask of llama.cpp; a server that is strict would refuse it."""


def for_remote(body: bytes, name: str) -> bytes:
    """Put the name of a model there into a request, and leave out what is for engines alone.

    The values of all other members stay as they are.

    Raises:
        BadRequest: A member's name is no text.
    """
    try:
        return with_members(body, {"model": name}, _FOR_ENGINES)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(
            "The body is not a chat completion request.", why=str(error), fix="send UTF-8"
        ) from error


def remote_error(host: str, status: int, body: bytes, key: str | None) -> LocalLLMError:
    """Say in our words what the remote refused; its own words are quoted without the key."""
    if status in _KEY_REFUSED:  # not quoted: such a sentence may have a part of the key
        return RemoteFailed(
            f"The remote {host} refuses the key.",
            why=f"it answered with status {status}",
            fix="give the right one where key_env or keyring under [remote] in config.toml says",
            will_pass=False,
        )
    detail = _read_detail(body, key)
    why = f"the remote {host} answered with status {status}: {detail.message or 'nothing'}"
    if detail.code == ContextTooLong.own_code:
        return ContextTooLong(detail.message, why=why, fix="shorten the prompt")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Busy(f"The remote {host} takes no more for now.", why=why, fix="send it later")
    if status in _CLIENTS_FAULT:
        what = detail.message or f"The remote {host} refused the request."
        return BadRequest(what, why=why, fix="correct the request")
    return RemoteFailed(
        f"The remote {host} failed at this request.",
        why=why,
        fix=_cure(status),
        will_pass=status in _MAY_PASS or status >= HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def _read_detail(body: bytes, key: str | None) -> _Detail:
    said = body.decode(errors="replace")
    if key:
        said = said.replace(key, "***")
    try:
        detail = msgspec.json.decode(said, type=_Refusal).error
    except (msgspec.DecodeError, RecursionError):
        detail = _Detail(said)
    return _Detail(detail.message[:_MOST_SAID], detail.code)


def _cure(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "write the address that it redirects to as url under [remote] in config.toml"
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        return "correct url, which mostly ends in /v1, or the model under [remote] in config.toml"
    return "send the request again"


def not_reached(host: str, cause: Exception) -> RemoteFailed:
    """Say that there was no answer at all."""
    return RemoteFailed(
        f"The remote {host} cannot be reached.",
        why=str(cause) or type(cause).__name__,
        fix="send the request again, or correct url under [remote] in config.toml",
    )


def broken_off(host: str) -> RemoteFailed:
    """Say that an answer had begun, and did not end."""
    return RemoteFailed(
        f"The remote {host} broke off before its answer was complete.",
        why="it closed the connection, or said nothing for too long",
        fix="send the request again",
    )


def after(first: LocalLLMError, failure: LocalLLMError) -> LocalLLMError:
    """Add to the remote's failure why it was asked at all.

    A retry may help if either may pass; it does not if the request itself is at fault.
    """
    failure.why = f"{failure.why}; it was asked because: {first.what}"
    if not isinstance(failure, BadRequest):
        failure.retryable = failure.retryable or first.retryable
    return failure
