"""From nothing to a served model, and back to nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
MODEL = "smollm2-135m-instruct"
RAMBLES_S = 280.0
"""A small model may not find an end; its context bounds what it says."""


def client_of(installation: Installation) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{installation.url}/v1", api_key="none", max_retries=0)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_openai_client_gets_streamed_text_and_down_leaves_nothing_behind(
    install: Callable[..., Installation],
) -> None:
    here = install()
    up = here.run("up")
    assert up.code == 0, up
    assert f"{MODEL} is served at {here.url}/v1" in up.out
    assert here.model()["context"] == 8192, "as much as it was trained with"
    assert "small stand-in" in up.err
    assert "for a better one" in up.err

    stream = client_of(here).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Say hi."}], stream=True, max_tokens=16
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip()
    assert len(chunks) > 2
    wait_until((here.state / "tokenizers.json").exists, "its tokenizer is known")

    assert here.run("down").code == 0
    assert here.processes() == []
    assert not is_open(here.port)
    left = {
        str(p.relative_to(here.state))
        for p in here.state.rglob("*")
        if p.is_file() or p.is_socket()
    }
    assert {f for f in left if not f.startswith("logs/")} == {
        "serving.json",
        "requests.sqlite3",
        "ledger.json",
        "ledger.lock",
        "prefix.key",
        "tokenizers.json",
        "tokenizers.lock",
    }


def test_status_says_what_was_planned_and_what_was_measured(served: Installation) -> None:
    status = served.json("status")
    model = status["models"][0]

    assert status["daemon"]["endpoint"] == f"{served.url}/v1"
    assert (model["id"], model["state"], model["engine"]) == (MODEL, "ready", "xllamacpp")
    assert (model["quant"], model["context"]) == ("Q4_1", 512)
    assert model["layers"] == {"on_device": 0, "total": 31}
    assert model["memory"]["measured"] <= model["memory"]["predicted"]
    assert model["memory"]["predicted"] <= 1.02 * model["memory"]["measured"]
    assert model["memory"]["resident"] > 100 << 20
    assert model["speed"]["measured_tps"] > 1
    assert model["speed"]["prefill_tps"] > 1
    assert model["error"] is None


def test_up_again_finds_the_running_daemon_and_says_so(served: Installation) -> None:
    before = served.model()["pid"]

    again = served.run("up")

    assert again.code == 0
    assert "already running" in again.err
    assert served.model()["pid"] == before


def test_two_ups_at_once_make_one_daemon(install: Callable[..., Installation]) -> None:
    here = install()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: here.run("up"), range(2))

    assert (first.code, second.code) == (0, 0), (first, second)
    assert len([p for p in here.processes() if "localllm.daemon" in p.cmdline()]) == 1
    assert len(here.json("status")["models"]) == 1


def test_a_daemon_of_another_version_is_replaced_and_serves_the_same(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up", "--context", "2048")
    old = here.daemon_file()
    text = (here.state / "daemon.json").read_text().replace(old["version"], "0.0.1")
    (here.state / "daemon.json").write_text(text)

    again = here.run("up")

    assert again.code == 0, again
    assert "replacing the daemon of version 0.0.1" in again.err
    assert here.daemon_file()["pid"] != old["pid"]
    assert [m["context"] for m in here.json("status")["models"]] == [2048]


def test_another_context_replaces_the_instance_once_it_is_ready(
    install: Callable[..., Installation],
) -> None:
    here = install()
    here.ok("up")
    here.ok("up", "--context", "4096")

    def contexts() -> list[int]:
        return [m["context"] for m in here.json("status")["models"]]

    wait_until(lambda: contexts() == [4096], "the old instance is gone")
    answer = client_of(here).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=4
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_run_prints_the_answer_alone(served: Installation) -> None:
    ran = served.run("run", MODEL, "Say hello.", within_s=RAMBLES_S)
    piped = served.run("run", "smollm2", "-", stdin="Name a colour.", within_s=RAMBLES_S)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.strip()
    assert piped.code == 0
    assert piped.out.strip()


def test_a_file_is_served_under_an_id_that_every_verb_takes(
    install: Callable[..., Installation],
) -> None:
    here = install()
    file = here.home / "Ünser Modell (1).gguf"
    file.symlink_to(smollm2())
    up = here.ok("up", str(file), "--context", "512")
    name = here.model()["id"]
    pid = here.model()["pid"]

    assert f'localllm run {name} "Say hello"' in up
    assert here.ok("run", name, "Hi.", within_s=RAMBLES_S).strip()
    assert here.ok("up", name)
    assert here.model()["pid"] == pid, "it runs already"
    here.ok("up", name, "--parallel", "2")
    assert here.model()["context"] == 512, "what was not named stays"
    assert here.ok("logs", name, "-n", "1")
    here.ok("stop", name)
    assert here.json("status")["models"] == []


def test_logs_show_the_engines_own_words(served: Installation) -> None:
    assert "KV buffer size" in served.ok("logs", MODEL, "-n", "2000")
    assert len(served.ok("logs", "-n", "3").splitlines()) == 3


def test_logs_that_follow_show_what_comes(served: Installation) -> None:
    following = served.start("logs", "-f", "-n", "1")
    try:
        assert following.stdout is not None
        following.stdout.readline()
        served.ok("run", MODEL, "Hi.", within_s=RAMBLES_S)
        assert following.stdout.readline()
    finally:
        following.kill()
        following.communicate()


def test_no_prompt_ends_up_in_any_log(served: Installation) -> None:
    said = [{"role": "user", "content": "My password is hunter2, remember it."}]
    client_of(served).chat.completions.create(model=MODEL, messages=said, max_tokens=16)  # type: ignore[arg-type]

    logs = [f.read_text(errors="replace") for f in (served.state / "logs").iterdir()]
    assert len(logs) >= 2
    assert not any("hunter2" in text for text in logs)


def test_nobody_else_can_read_the_token_or_enter_the_sockets_folder(served: Installation) -> None:
    modes = {
        name: (served.state / name).stat().st_mode & 0o777
        for name in ("daemon.json", "sockets", ".")
    }
    socket_file = next((served.state / "sockets").iterdir())

    assert modes == {"daemon.json": 0o600, "sockets": 0o700, ".": 0o700}
    assert socket_file.stat().st_mode & 0o077 == 0
    token = served.daemon_file()["token"]
    assert not any(token in " ".join(p.cmdline()) for p in served.processes())


def test_an_engine_that_cannot_have_a_socket_gets_a_port_and_a_key_that_nobody_sees(
    install: Callable[..., Installation],
) -> None:
    here = install()
    deep = here.home / ("d" * 90)  # too long for the path of a Unix socket
    here.environment["LOCALLLM_HOME"] = str(deep)
    here.home = deep
    here.ok("up")
    engine = next(p for p in here.processes() if p.pid == here.model()["pid"])
    listening = [c.laddr for c in engine.net_connections("tcp") if c.status == "LISTEN"]

    assert [address.ip for address in listening] == ["127.0.0.1"]
    key = engine.environ()["LOCALLLM_ENGINE_KEY"]
    assert len(key) == 64
    logs = "".join(f.read_text(errors="replace") for f in (deep / "state" / "logs").iterdir())
    assert key not in logs
    assert key not in " ".join(engine.cmdline())
    with pytest.raises(openai.AuthenticationError):
        base = f"http://127.0.0.1:{listening[0].port}/v1"
        openai.OpenAI(base_url=base, api_key="guess").chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hi"}]
        )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("up", "no-such-model"), 5, "No model 'no-such-model'"),
        (("up", "smolm2"), 5, "did you mean smollm2"),
        (("up", "/no/such/file.gguf"), 5, "There is no file /no/such/file.gguf"),
        (("up", "--context", "100000"), 3, "does not fit"),
        (("up", "--engine", "ollama"), 7, "There is no engine 'ollama'"),
        (("up", "--context", "0"), 2, "--context"),
        (("stop", "no-such-model"), 4, "No daemon is running"),
        (("status",), 4, "No daemon is running"),
        (("down",), 4, "No daemon is running"),
        (("fly",), 2, "No command 'fly'"),
        (("plan", "smollm2", "--context", "100000"), 3, ""),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code_and_leaves_no_daemon(
    install: Callable[..., Installation], words: tuple[str, ...], code: int, said: str
) -> None:
    here = install()

    ran = here.run(*words)

    assert ran.code == code, ran
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert here.processes() == []


def test_a_taken_port_is_named_with_the_cure(install: Callable[..., Installation]) -> None:
    here = install()
    with socket.socket() as other:
        other.bind(("127.0.0.1", here.port))
        other.listen()

        ran = here.run("up")

    assert ran.code == 1
    assert f"Port {here.port}" in ran.err
    assert "--port" in ran.err
    assert here.processes() == []


def test_a_broken_file_never_reaches_an_engine(
    install: Callable[..., Installation],
) -> None:
    here = install()
    file = here.home / "broken.gguf"
    file.write_bytes(b"GGUF" + os.urandom(4096))

    ran = here.run("up", str(file))

    assert ran.code == 1
    assert "broken.gguf" in ran.err or "GGUF" in ran.err
    assert here.processes() == []
    assert not list((here.state / "logs").glob("broken*"))
