"""The CLI's way to the daemon: http.client, since importing more would cost more than the answer."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from localllm import __version__
from localllm.api.daemon_file import DaemonFile, read_daemon_file
from localllm.api.event_views import EventView
from localllm.api.now_views import NowView
from localllm.api.parting_views import PartingsView
from localllm.api.pull_views import PullRequest, PullView
from localllm.api.request_views import RequestDetailView, RequestsListView
from localllm.api.status_views import InstanceView, StatusView
from localllm.api.store_views import RemovedView, StoreView, TidyRequest
from localllm.api.views import (
    PinReply,
    PlanRequest,
    PlanView,
    ServeReply,
    ServeRequest,
    ShutdownRequest,
    StopReply,
)
from localllm.errors import LocalLLMError, NotRunning, error_of
from localllm.fit.errors import UnsupportedArchitecture  # noqa: F401  # for error_of to find

if TYPE_CHECKING:  # heavy
    from localllm.api.agent_views import AgentView, FoundAgentsView
    from localllm.api.engine_views import BuildView

_TIMEOUT_S = 600.0
"""A stop answers when the running requests are done, a switch when every engine was asked."""

_STREAM_TIMEOUT_S = 3600.0
_WHATEVER = "localllm"
_PULLS, _STORE = "/api/v1/pulls", "/api/v1/store"
_DATA = b"data: "
T = TypeVar("T")


class _Detail(msgspec.Struct):
    message: str = ""
    code: str | None = None


class _Refusal(msgspec.Struct):
    error: _Detail


class _Counted(msgspec.Struct):
    input_tokens: int


class DaemonClient:
    """Asks one daemon. Every call may raise NotRunning, and whatever the daemon answers with."""

    def __init__(self, daemon: DaemonFile) -> None:
        self.daemon = daemon
        self._open: set[socket.socket] = set()
        self._is_closed = False

    def close(self) -> None:
        """End what is being read: may be called by another thread than the one that waits for it.

        A chat that is cut so raises NotRunning, logs and events end. The client is of no use after.
        """
        self._is_closed = True
        for each in tuple(self._open):
            with suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)

    def status(self) -> StatusView:
        return self.ask("GET", "/api/v1/status", StatusView)

    def now(self, recent: int = 50) -> NowView:
        """How all is at this moment, at once; of the requests that are over, `recent` at most."""
        return self.ask("GET", f"/api/v1/now?{urlencode({'recent': recent})}", NowView)

    def models(self) -> list[InstanceView]:
        """The models alone, without a look at the hardware."""
        return self.ask("GET", "/api/v1/models", list[InstanceView])

    def plan(self, wanted: PlanRequest) -> PlanView:
        given = {k: v for k, v in msgspec.to_builtins(wanted).items() if v is not None}
        return self.ask("GET", f"/api/v1/plan?{urlencode(given)}", PlanView)

    def serve(self, wanted: ServeRequest) -> ServeReply:
        """Have a model served beside others; without a name, what is served, or the default."""
        name = quote(wanted.model or _WHATEVER, safe="")
        return self.ask("POST", f"/api/v1/models/{name}/load", ServeReply, wanted)

    def switch(self, wanted: ServeRequest) -> ServeReply:
        """Have a model served in the place of what is."""
        return self.ask("POST", "/api/v1/switch", ServeReply, wanted)

    def pin(self, model: str, *, pinned: bool) -> PinReply:
        verb = "pin" if pinned else "unpin"
        return self.ask("POST", f"/api/v1/models/{quote(model, safe='')}/{verb}", PinReply)

    def events(self, *, follow: bool) -> Iterator[EventView]:
        """What has happened, and with `follow` what happens, until the daemon ends."""
        path = f"/api/v1/events?{urlencode({'follow': int(follow)})}"
        with (
            self._sent("GET", path, None, _STREAM_TIMEOUT_S) as answer,
            suppress(http.client.IncompleteRead),
        ):
            for line in answer:
                if line.startswith(_DATA):
                    yield msgspec.json.decode(line[len(_DATA) :], type=EventView)

    def requests(self) -> RequestsListView:
        return self.ask("GET", "/api/v1/requests", RequestsListView)

    def request(self, request: str) -> RequestDetailView:
        """All of one request, a few words of its prompt among it."""
        path = f"/api/v1/requests/{quote(request, safe='')}"
        return self.ask("GET", path, RequestDetailView)

    def partings(self) -> PartingsView:
        """What broke the prefix of agents' prompts."""
        return self.ask("GET", "/api/v1/prefix/partings", PartingsView)

    def agents(self) -> FoundAgentsView:
        """Which agents there are, and which of them are installed and connected."""
        from localllm.api.agent_views import FoundAgentsView  # noqa: PLC0415  # heavy

        return self.ask("GET", "/api/v1/agents", FoundAgentsView)

    def agent(self, agent: str) -> AgentView:
        """How one is pointed at what is served."""
        from localllm.api.agent_views import AgentView  # noqa: PLC0415  # heavy

        return self.ask("GET", f"/api/v1/agents/{quote(agent, safe='')}", AgentView)

    def stop(self, model: str) -> StopReply:
        return self.ask("POST", f"/api/v1/models/{quote(model, safe='')}/unload", StopReply)

    def builds(self) -> list[BuildView]:
        """Builds of engines: those that are here, then those that could be, the best first."""
        from localllm.api.engine_views import BuildView  # noqa: PLC0415  # rarely needed

        return self.ask("GET", "/api/v1/engines", list[BuildView])

    def pulls(self) -> list[PullView]:
        return self.ask("GET", _PULLS, list[PullView])

    def pull(self, wanted: PullRequest) -> PullView:
        """Have a model fetched; one that is being fetched goes on."""
        return self.ask("POST", _PULLS, PullView, wanted)

    def pause_pull(self, pull: str) -> PullView:
        return self.ask("POST", f"{_PULLS}/{quote(pull, safe='')}/pause", PullView)

    def resume_pull(self, pull: str) -> PullView:
        return self.ask("POST", f"{_PULLS}/{quote(pull, safe='')}/resume", PullView)

    def cancel_pull(self, pull: str) -> PullView:
        """End it, and have its half files removed."""
        return self.ask("DELETE", f"{_PULLS}/{quote(pull, safe='')}", PullView)

    def store(self, *, fit: bool) -> StoreView:
        """What is on the disk; with `fit`, whether each model would run now."""
        return self.ask("GET", f"{_STORE}?{urlencode({'fit': int(fit)})}", StoreView)

    def remove(self, model: str) -> RemovedView:
        return self.ask("DELETE", f"{_STORE}/{quote(model, safe='')}", RemovedView)

    def tidy(self, wanted: TidyRequest) -> RemovedView:
        return self.ask("POST", f"{_STORE}/gc", RemovedView, wanted)

    def shut_down(self, *, forget: bool) -> None:
        self.ask("POST", "/api/v1/shutdown", dict, ShutdownRequest(forget=forget))

    def logs(self, model: str, *, lines: int, follow: bool) -> Iterator[bytes]:
        query = urlencode({"lines": lines, "follow": int(follow)})
        path = f"/api/v1/models/{quote(model, safe='')}/logs?{query}"
        with (
            self._sent("GET", path, None, _STREAM_TIMEOUT_S) as answer,
            suppress(http.client.IncompleteRead),  # the daemon has ended, and the log with it
        ):
            while chunk := answer.read1(1 << 16):
                yield chunk

    def count_tokens(self, message: Mapping[str, object]) -> int:
        """How many tokens a message of Anthropic's API has, by its model's own tokenizer."""
        return self.ask("POST", "/v1/messages/count_tokens", _Counted, message).input_tokens

    def chat(self, body: bytes) -> Iterator[bytes]:
        """Stream a chat completion's lines."""
        with self._sent("POST", "/v1/chat/completions", body, _STREAM_TIMEOUT_S) as answer:
            yield from answer

    def ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        """Make a call; some have a file of their own, as recording_client.py."""
        encoded = msgspec.json.encode(body if body is not None else {})
        sent = encoded if method == "POST" else None
        with self._sent(method, path, sent, _TIMEOUT_S) as answer:
            text = answer.read()
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise LocalLLMError(
                f"What answers at {self.daemon.endpoint} is no daemon of this version.",
                why=f"its answer to {path} cannot be read: {error}",
                fix="localllm down, then localllm up",
            ) from error

    @contextmanager
    def _sent(
        self, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=timeout_s)
        headers = {
            "Authorization": f"Bearer {self.daemon.token}",
            "User-Agent": f"localllm/{__version__}",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            with self._counted_in(connection):
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                if answer.status >= http.client.BAD_REQUEST:
                    raise _refusal(answer.status, answer.read())
                yield answer
        except TimeoutError as error:
            raise LocalLLMError(
                "The daemon does not answer.",
                why=f"it said nothing for {timeout_s:.0f} s",
                fix="look into its log, or end it: localllm down",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise not_running(str(error)) from error
        finally:
            connection.close()

    @contextmanager
    def _counted_in(self, connection: http.client.HTTPConnection) -> Generator[None]:
        """Open it, where `close` finds it; the connection itself may let go of its socket early."""
        connection.connect()
        opened = connection.sock
        self._open.add(opened)
        try:
            if self._is_closed:
                raise not_running("this client was closed")
            yield
        finally:
            self._open.discard(opened)


def connect(file: Path) -> DaemonClient | None:
    """Find the daemon that `file` tells of; None if nobody listens there."""
    daemon = read_daemon_file(file)
    if daemon is None:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=_TIMEOUT_S)
    try:
        connection.connect()
    except OSError:
        return None
    finally:
        connection.close()
    return DaemonClient(daemon)


def require_daemon(file: Path) -> DaemonClient:
    """Take the daemon at its word: whether it answers shows with the first call.

    Raises:
        NotRunning: No daemon has written `file`.
    """
    daemon = read_daemon_file(file)
    if daemon is None:
        raise not_running(f"there is no {file}")
    return DaemonClient(daemon)


def not_running(why: str) -> NotRunning:
    """Say that nobody answers."""
    return NotRunning("No daemon is running.", why=why, fix="localllm up")


def _refusal(status: int, text: bytes) -> LocalLLMError:
    """Rebuild the error that the daemon raised, exit code included."""
    try:
        detail = msgspec.json.decode(text, type=_Refusal).error
    except msgspec.DecodeError:
        detail = _Detail(message=f"status {status}: {text[:200].decode(errors='replace')}")
    return error_of(detail.message, detail.code)
