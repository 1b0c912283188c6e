"""The command line's way to the daemon, tried on a small server of our own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest

from localllm import __version__, errors
from localllm.api.daemon_file import DaemonFile, write_daemon_file
from localllm.api.sync_client import DaemonClient, connect, require_daemon
from localllm.api.views import ServeReply, ServeRequest
from localllm.errors import LocalLLMError, NotRunning
from localllm.fit.errors import UnsupportedArchitecture
from localllm.gateway.http_errors import openai_error
from localllm.metrics.showing import render_detail
from tests.unit.metrics.a_live import World

ROOT = Path(__file__).parents[3]
REPLY = ServeReply(id="m", instance="m:q8:1", already=False, stand_in=False, reason="fits")


@dataclass
class Asked:
    method: str
    path: str
    authorization: str | None
    content_type: str | None
    body: bytes
    program: str | None


@dataclass
class Daemon:
    """What a made-up daemon answers, and what it was asked."""

    port: int = 0
    status: int = 200
    body: bytes = b"{}"
    asked: list[Asked] = field(default_factory=list)

    @property
    def client(self) -> DaemonClient:
        return DaemonClient(daemon_file(self.port))


def daemon_file(port: int) -> DaemonFile:
    return DaemonFile(pid=1, started=0, port=port, token="t0ken", version="1")


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made_up = Daemon()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            kind, key = self.headers["Content-Type"], self.headers["Authorization"]
            program = self.headers["User-Agent"]
            made_up.asked.append(Asked(self.command, self.path, key, kind, body, program))
            if not made_up.status:  # speaks no HTTP
                self.wfile.write(made_up.body)
                return
            self.send_response(made_up.status)
            self.end_headers()
            self.wfile.write(made_up.body)

        do_GET = do_POST = answer

        def log_message(self, *args: object) -> None:
            """Say nothing: the tests' output is for failures."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        made_up.port = server.server_port
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made_up
        server.shutdown()
        thread.join()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def refusal(daemon: Daemon) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        daemon.client.serve(ServeRequest(model="m"))
    return caught.value


def test_a_question_carries_the_token_and_json_and_gives_a_view(daemon: Daemon) -> None:
    daemon.body = msgspec.json.encode(REPLY)

    assert daemon.client.serve(ServeRequest(model="m", context=512)) == REPLY

    [asked] = daemon.asked
    assert (asked.method, asked.path) == ("POST", "/api/v1/models/m/load")
    assert (asked.authorization, asked.content_type) == ("Bearer t0ken", "application/json")
    assert msgspec.json.decode(asked.body, type=ServeRequest).context == 512


def test_a_models_name_is_one_segment_of_the_path(daemon: Daemon) -> None:
    daemon.body = b'{"stopped":["../a b?c"]}'

    assert daemon.client.stop("../a b?c").stopped == ["../a b?c"]

    assert daemon.asked[0].path == "/api/v1/models/..%2Fa%20b%3Fc/unload"


def test_a_request_is_asked_for_by_its_id_and_gives_all_of_it(daemon: Daemon) -> None:
    shown = render_detail(World().answered(), 100.0)
    daemon.body = msgspec.json.encode(shown)

    assert daemon.client.request("req/1") == shown

    assert daemon.asked[0].path == "/api/v1/requests/req%2F1"


def test_requests_and_what_broke_their_prefixes_can_be_asked_for(daemon: Daemon) -> None:
    daemon.body = b'{"live":[],"recent":[],"changes":3}'
    assert daemon.client.requests().changes == 3
    daemon.body = b'{"programs":[]}'
    assert daemon.client.partings().programs == []

    assert [one.path for one in daemon.asked] == ["/api/v1/requests", "/api/v1/prefix/partings"]


def test_a_log_comes_as_it_is_written(daemon: Daemon) -> None:
    daemon.body = b"one\ntwo\n"

    assert b"".join(daemon.client.logs("m", lines=5, follow=True)) == b"one\ntwo\n"

    assert daemon.asked[0].path == "/api/v1/models/m/logs?lines=5&follow=1"


def test_a_chat_comes_line_by_line(daemon: Daemon) -> None:
    daemon.body = b"data: 1\n\ndata: [DONE]\n\n"

    lines = list(daemon.client.chat(b'{"stream":true}'))

    assert lines == [b"data: 1\n", b"\n", b"data: [DONE]\n", b"\n"]
    assert daemon.asked[0].program == f"localllm/{__version__}", "it is named among the requests"


@pytest.mark.parametrize(
    "kind",
    [
        errors.ModelNotFound,
        errors.DoesNotFit,
        errors.NoNetwork,
        errors.EngineUnusable,
        errors.StartFailed,
        errors.Busy,
        errors.StillLoading,
        errors.ContextTooLong,
        errors.Unauthorized,
        UnsupportedArchitecture,
    ],
)
def test_what_the_daemon_raised_is_raised_here_with_its_exit_code(
    daemon: Daemon, kind: type[LocalLLMError]
) -> None:
    raised = kind("It is so.", why="1 GiB: too much", fix="localllm ls")
    reply = openai_error(raised)
    daemon.status, daemon.body = reply.status, msgspec.json.encode(reply.body)

    error = refusal(daemon)

    assert type(error) is kind
    assert (error.what, error.why, error.fix) == (raised.what, raised.why, raised.fix)
    assert error.exit_code == kind.exit_code


def test_a_shell_that_has_loaded_nothing_else_knows_the_exit_codes_of_planning() -> None:
    code = (
        "import localllm.api.sync_client; from localllm.errors import by_code;"
        "print(by_code('unsupported_architecture').exit_code)"
    )

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT).strip() == b"3"


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (500, b'{"error":{"message":"It broke.","code":"news_of_2030"}}', "It broke."),
        (404, b"<html>no such page</html>", "status 404: <html>no such page</html>"),
        (400, b'{"error":"text"}', 'status 400: {"error":"text"}'),
        (502, b"", "status 502: "),
        (500, b"\xff", "status 500: �"),
    ],
)
def test_a_refusal_in_other_words_is_an_error_all_the_same(
    daemon: Daemon, status: int, body: bytes, what: str
) -> None:
    daemon.status, daemon.body = status, body

    error = refusal(daemon)

    assert (type(error), error.what, error.exit_code) == (LocalLLMError, what, 1)
    assert (error.why, error.fix) == ("the daemon said no more", "localllm logs")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"{}", b'{"id":1}', b"\xff"])
def test_an_answer_that_cannot_be_read_is_an_error_and_no_traceback(
    daemon: Daemon, body: bytes
) -> None:
    daemon.body = body

    error = refusal(daemon)

    assert (
        error.what
        == f"What answers at http://127.0.0.1:{daemon.port} is no daemon of this version."
    )
    assert "/load" in error.why


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_what_hangs_up_or_speaks_no_http_is_no_daemon(daemon: Daemon, said: bytes) -> None:
    daemon.status, daemon.body = 0, said

    assert isinstance(refusal(daemon), NotRunning)


def test_nobody_at_the_port_is_not_running(free_port: int) -> None:
    with pytest.raises(NotRunning) as caught:
        DaemonClient(daemon_file(free_port)).status()

    assert caught.value.what == "No daemon is running."
    assert "refused" in caught.value.why
    assert (caught.value.fix, caught.value.exit_code) == ("localllm up", 4)


def test_the_daemon_is_found_by_its_file_if_somebody_listens(
    daemon: Daemon, free_port: int, tmp_path: Path
) -> None:
    here, gone = tmp_path / "here.json", tmp_path / "gone.json"
    write_daemon_file(here, daemon_file(daemon.port))
    write_daemon_file(gone, daemon_file(free_port))

    found = connect(here)

    assert found is not None
    assert found.daemon.port == daemon.port
    assert connect(gone) is None
    assert connect(tmp_path / "none.json") is None


def test_a_command_that_needs_a_daemon_names_the_file_that_names_none(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as caught:
        require_daemon(tmp_path / "daemon.json")

    assert str(tmp_path / "daemon.json") in caught.value.why
