"""Every error a user can meet: what happened, why, and how to fix it.

The tree (a name in snake case is the code sent to API clients, unless it has its own):

    LocalLLMError            exit 1   HTTP 500
    |-- ConfigError          exit 2   HTTP 500
    |-- DoesNotFit           exit 3   HTTP 422
    |-- NotRunning           exit 4   HTTP 503
    |-- ModelNotFound        exit 5   HTTP 404
    |-- BadKeyName           exit 2   HTTP 400
    |-- NoSuchKey            exit 5   HTTP 404
    |-- NoSuchAgent          exit 5   HTTP 404  and its neighbours in agents/errors.py
    |-- NoNetwork            exit 6   HTTP 502  retryable
    |   `-- AccessRefused    exit 6   HTTP 403
    |-- WrongContent         exit 6   HTTP 502
    |-- NoSpace              exit 1   HTTP 507
    |-- InUse                exit 1   HTTP 409
    |-- BelongsElsewhere     exit 1   HTTP 409
    |-- EngineUnusable       exit 7   HTTP 422
    |   `-- EngineNeeded     exit 7   HTTP 422
    |-- StartFailed          exit 7   HTTP 503  retryable while the supervisor tries again
    |-- Busy                 exit 8   HTTP 429  retryable
    |   `-- RateExceeded     exit 8   HTTP 429  retryable
    |-- NotReady                      HTTP 503  retryable
    |   `-- StillLoading              HTTP 503  retryable
    |-- EngineGone                    HTTP 502  retryable
    |-- AlreadyRunning       exit 1   (the daemon's own start)
    |-- PortTaken            exit 1   (likewise)
    |-- NoSuchAddress        exit 1   (likewise)
    |-- BadRequest                    HTTP 400
    |   `-- ContextTooLong            HTTP 400  code context_length_exceeded
    |-- Unauthorized                  HTTP 401
    |-- Forbidden                     HTTP 403
    |-- NoSuchEndpoint                HTTP 404
    |-- NotFound                      HTTP 404
    |-- WrongMethod                   HTTP 405
    |-- TooSlow                       HTTP 408  retryable
    |-- TooLarge                      HTTP 413
    |-- NotJson                       HTTP 415
    |-- UnknownEncoding               HTTP 415
    `-- NoUpgrade                     HTTP 426

Those without an exit code of their own are met by API clients; in a shell they are 1.
OpenAI's SDK retries 408, 409, 429 and every 5xx unless `x-should-retry` says no,
so what a retry cannot cure is a 4xx, and the header is always sent.
"""

from __future__ import annotations

from typing import ClassVar

_TOO_MANY_REQUESTS, _SERVER_ERRORS = 429, 500  # http.HTTPStatus would cost each command 3 ms


class LocalLLMError(Exception):
    """Base of all expected failures.

    Args:
        what: What failed, naming the thing. One sentence, no trailing advice.
        why: The cause, with the numbers that decided it.
        fix: The next command or setting to try; never empty.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    own_code: ClassVar[str | None] = None
    retryable: bool = False
    """Whether the same request may succeed later, though nobody changes anything."""

    retry_after_s: float | None = None
    """When it will; None is unknown."""

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    @property
    def openai_type(self) -> str:
        """How OpenAI sorts it: whose fault, and whether it is about the rate."""
        if self.http_status == _TOO_MANY_REQUESTS:
            return "rate_limit_error"
        ours = self.http_status >= _SERVER_ERRORS
        return "server_error" if ours else "invalid_request_error"

    @property
    def code(self) -> str:
        """Stable machine name, e.g. ``does_not_fit``."""
        return code_of(type(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Pass from one process to another; an exception's own way knows no keywords."""
        return _again, (type(self), self.what), self.__dict__

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  fix: {self.fix}"


def _again(kind: type[LocalLLMError], what: str) -> LocalLLMError:
    return kind.__new__(kind, what)


class ConfigError(LocalLLMError):
    """A setting is missing, unknown, or of the wrong type."""

    exit_code = 2


class ModelNotFound(LocalLLMError):
    """No profile, alias or file goes by this name."""

    exit_code = 5
    http_status = 404


class BadKeyName(LocalLLMError):
    """An API key cannot be called so."""

    exit_code = 2
    http_status = 400


class NoSuchKey(LocalLLMError):
    """No API key goes by this name."""

    exit_code = 5
    http_status = 404


class DoesNotFit(LocalLLMError):
    """No plan keeps this model within the machine's memory."""

    exit_code = 3
    http_status = 422


class NotRunning(LocalLLMError):
    """No daemon answers; a client of ours meets it, never one of the daemon's."""

    exit_code = 4
    http_status = 503


class AlreadyRunning(LocalLLMError):
    """Another daemon holds the lock."""


class PortTaken(LocalLLMError):
    """Another program listens where the daemon should."""


class NoSuchAddress(LocalLLMError):
    """The machine has not the address that the daemon should listen on; after a boot, not yet."""


class NoNetwork(LocalLLMError):
    """The hub cannot be reached, or refused, and what is needed is not on disk."""

    exit_code = 6
    http_status = 502
    retryable = True


class AccessRefused(NoNetwork):
    """The hub has it, but not for this user; asking again changes nothing."""

    http_status = 403
    retryable = False


class WrongContent(LocalLLMError):
    """What was downloaded has another hash than it should have; it is gone again."""

    exit_code = 6
    http_status = 502


class NoSpace(LocalLLMError):
    """The disk is too full for what is to be written; what is there is kept."""

    http_status = 507


class InUse(LocalLLMError):
    """What is to be removed is being served, or written, now."""

    http_status = 409


class BelongsElsewhere(LocalLLMError):
    """What is to be removed is another program's, which removes it itself."""

    http_status = 409


class EngineUnusable(LocalLLMError):
    """No engine here can run the model where it should run: on the accelerator, above all."""

    exit_code = 7
    http_status = 422


class EngineNeeded(EngineUnusable):
    """None here can, and one that can may be fetched."""


class StartFailed(LocalLLMError):
    """The engine did not become ready.

    Args:
        will_retry: The supervisor tries again by itself (BACKOFF). Once it has given
            up (FAILED), only an explicit start helps, so a client must not retry.
    """

    exit_code = 7
    http_status = 503

    def __init__(self, what: str, *, why: str, fix: str, will_retry: bool = False) -> None:
        super().__init__(what, why=why, fix=fix)
        self.retryable = will_retry


class Busy(LocalLLMError):
    """The queue for this model is full."""

    exit_code = 8
    http_status = 429
    retryable = True


class RateExceeded(Busy):
    """This API key has asked as often as it may, for now.

    Args:
        retry_after_s: When it may ask again.
    """

    def __init__(
        self, what: str, *, why: str, fix: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.retry_after_s = retry_after_s


class NotReady(LocalLLMError):
    """The model takes no requests now: it, or the daemon, is being stopped."""

    http_status = 503
    retryable = True


class StillLoading(NotReady):
    """The model is loading or restarting, and the request has waited as long as it may."""


class EngineGone(LocalLLMError):
    """The engine ended, or closed the connection, before its answer was complete."""

    http_status = 502
    retryable = True


class BadRequest(LocalLLMError):
    """The request is not what the API allows.

    Args:
        param: The field that is wrong, as the client spelled it: `tools[0].function.name`; None
            where it is none.
    """

    http_status = 400

    def __init__(self, what: str, *, why: str, fix: str, param: str | None = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.param = param


class ContextTooLong(BadRequest):
    """Prompt and answer exceed the instance's context; `why` has both numbers.

    Args:
        tokens: What the request has; None where the engine does not tell.
        maximum: What the context holds; likewise.
    """

    own_code = "context_length_exceeded"

    def __init__(
        self,
        what: str,
        *,
        why: str,
        fix: str,
        tokens: int | None = None,
        maximum: int | None = None,
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.tokens = tokens
        self.maximum = maximum


class Unauthorized(LocalLLMError):
    """The API key is missing or wrong."""

    http_status = 401


class Forbidden(LocalLLMError):
    """The Host or Origin may not ask, whatever its key; or the key may, but not for this model."""

    http_status = 403


class NoSuchEndpoint(LocalLLMError):
    """The gateway has no such path."""

    http_status = 404


class NotFound(LocalLLMError):
    """What is asked for does not exist; the path does."""

    http_status = 404


class WrongMethod(LocalLLMError):
    """The path is there, for another method."""

    http_status = 405


class TooSlow(LocalLLMError):
    """The body did not come in time."""

    http_status = 408
    retryable = True


class TooLarge(LocalLLMError):
    """The body is larger than the gateway reads."""

    http_status = 413


class NotJson(LocalLLMError):
    """The body's content type is not `application/json`."""

    http_status = 415


class UnknownEncoding(LocalLLMError):
    """The body is compressed in a way that the gateway does not know."""

    http_status = 415


class NoUpgrade(LocalLLMError):
    """The connection stays HTTP: no WebSocket is offered."""

    http_status = 426


def by_code(code: str | None) -> type[LocalLLMError]:
    """Find the class that sends `code`, for a client that raises what the daemon raised.

    The base class, if this version knows none: a newer daemon may have more.
    """
    pending = [LocalLLMError]
    while pending:
        kind = pending.pop()
        if code is not None and code_of(kind) == code:
            return kind
        pending.extend(kind.__subclasses__())
    return LocalLLMError


def error_of(message: str, code: str | None) -> LocalLLMError:
    """Make an error of what `LocalLLMError.__str__` and its code made of it."""
    what, _, rest = message.partition("\n  why: ")
    why, _, fix = rest.partition("\n  fix: ")
    return by_code(code)(what, why=why or "the daemon said no more", fix=fix or "localllm logs")


def code_of(kind: type[LocalLLMError]) -> str:
    """Make the machine name of a class: its own, or its name in snake case."""
    if kind.own_code is not None:
        return kind.own_code
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")
