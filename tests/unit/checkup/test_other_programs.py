"""Other programs that hold memory, proxies that are in the way, agents that ask elsewhere."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localllm.agents.record import AgentRecord, FileRecord, hash_of, write_record
from localllm.checkup.checks import others
from localllm.checkup.checks.agents import check_agents
from localllm.checkup.checks.others import check_others
from localllm.checkup.checks.proxies import check_proxies
from localllm.checkup.finding import Severity
from localllm.checkup.known import Program
from localllm.hardware.machine import Holder, Machine
from localllm.units import GIB, MIB
from tests.fakes.scene_parts import an_instance
from tests.unit.checkup.a_place import a_known, a_machine, a_place, a_status, bad, by_id, only


def held(*holders: Holder) -> Machine:
    machine = a_machine("rtx5090")
    card, *rest = machine.devices
    return replace(machine, devices=(replace(card, holders=holders), *rest))


@pytest.fixture(autouse=True)
def no_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "_ollama_models", list)


@pytest.mark.parametrize(
    ("command", "name", "fix"),
    [
        ("/usr/local/bin/ollama serve", "Ollama", "ollama ps"),
        ("/Applications/Ollama.app/Contents/Resources/ollama serve", "Ollama", "ollama ps"),
        ("/Applications/LM Studio.app/Contents/MacOS/LM Studio", "LM Studio", "lms unload --all"),
        ("/home/me/.lmstudio/bin/llama-server --port 1", "LM Studio", "lms unload --all"),
        ("/home/me/venv/bin/python3.12 -u -m vllm.entrypoints.api_server", "vLLM", "kill 7"),
        ("uv run vllm serve Qwen/Qwen3-8B", "vLLM", "kill 7"),
        ("llama-server -m /home/me/.lmstudio/models/x.gguf", "llama-server", "kill 7"),
        ("/opt/LM Studio/lm-studio --run", "LM Studio", "lms unload --all"),
        ("/usr/bin/python3 -m vllm.entrypoints.openai.api_server", "vLLM", "kill 7"),
        ("/usr/bin/python3 /usr/bin/vllm serve Qwen/Qwen3-8B", "vLLM", "kill 7"),
        ("VLLM::EngineCore", "vLLM", "kill 7"),
        ("./llama-server -m model.gguf --port 8080", "llama-server", "kill 7"),
        ("python -m sglang.launch_server --model x", "SGLang", "kill 7"),
        ("python /home/me/ComfyUI/main.py --listen", "ComfyUI", "127.0.0.1:8188/free"),
        ("python -m mlx_lm.server --model x", "mlx_lm.server", "kill 7"),
    ],
)
def test_servers_of_models_are_known_and_made_to_let_go(
    tmp_path: Path, command: str, name: str, fix: str
) -> None:
    program = Program(7, "x", command, 3 * GIB)

    found = only(check_others(a_known(a_place(tmp_path), programs=[program])))

    assert (found.id, found.severity) == ("others.holds-memory", Severity.WARNING)
    assert found.what.startswith(f"{name} runs (process 7) and holds 3.0 GiB of memory")
    assert fix in (found.fix or "")
    assert "{" not in (found.fix or "").replace('{"unload_models": true, "free_memory": true}', "")


@pytest.mark.parametrize(
    "command",
    [
        "vim notes-about-ollama.txt",
        "grep -r llama-server .",
        "python agent.py --prompt tell me all about vllm serve",
        "python train.py /data/ollama/x.gguf",
        "git clone https://github.com/ollama/ollama",
        "curl http://127.0.0.1:8080/llama-server",
        "/usr/bin/code /home/me/src/llamafile",
        "rsync -a /srv/comfyui /backup",
        "docker run ollama/ollama serve",
        "",
    ],
)
def test_a_word_in_passing_makes_no_server(tmp_path: Path, command: str) -> None:
    program = Program(7, "x", command, 3 * GIB)

    assert bad(check_others(a_known(a_place(tmp_path), programs=[program]))) == []


def test_our_own_engines_are_no_others(tmp_path: Path) -> None:
    own = Program(7, "llama-server", "llama-server -m x", 3 * GIB, engine_of="/state")

    known = a_known(a_place(tmp_path), programs=[own], machine=held(Holder(7, "x", 20 * GIB)))

    assert bad(check_others(known)) == []


def test_all_processes_of_a_server_count_together_with_what_they_hold_of_a_card(
    tmp_path: Path,
) -> None:
    programs = [
        Program(7, "ollama", "/usr/bin/ollama serve", 100 * MIB),
        Program(8, "ollama", "/usr/bin/ollama runner --model x", 600 * MIB),
    ]
    machine = held(Holder(8, "ollama", 14 * GIB))

    found = only(check_others(a_known(a_place(tmp_path), programs=programs, machine=machine)))

    assert found.what == (
        "Ollama runs (process 7, 8) and holds 700 MiB of memory and 14.0 GiB of a card."
    )


def test_ollama_is_asked_which_models_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = [("llama3:8b", 5 * GIB), ("qwen3:4b; rm -rf ~", 3 * GIB)]
    monkeypatch.setattr(others, "_ollama_models", lambda: loaded)
    program = Program(7, "ollama", "/usr/bin/ollama serve", 100 * MIB)

    found = only(check_others(a_known(a_place(tmp_path), programs=[program])))

    assert found.fix == "ollama stop llama3:8b; ollama stop 'qwen3:4b; rm -rf ~'"
    assert "8.0 GiB of a card" in found.what


def test_whoever_else_holds_a_card_is_named(tmp_path: Path) -> None:
    game = Program(9, "game.exe", "/games/game.exe", 100 * MIB)
    machine = held(Holder(9, "game", 6 * GIB), Holder(10, "small", 50 * MIB))

    found = only(check_others(a_known(a_place(tmp_path), programs=[game], machine=machine)))

    assert (found.id, found.fix) == ("others.on-card", "ps -fp 9")
    assert found.what == "game.exe (process 9) holds 6.0 GiB of a card."


def test_a_proxy_that_would_get_what_is_for_this_machine_is_a_warning(tmp_path: Path) -> None:
    place = a_place(
        tmp_path, environment={"HTTPS_PROXY": "http://u:pw@proxy:3128", "NO_PROXY": "x"}
    )

    found = only(check_proxies(a_known(place)))

    assert found.id == "proxy.takes-localhost"
    assert found.fix == "export NO_PROXY=x,127.0.0.1,localhost no_proxy=x,127.0.0.1,localhost"
    assert "pw" not in str(found)


def test_a_proxy_that_leaves_this_machine_out_is_in_order(tmp_path: Path) -> None:
    set_right = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost,127.0.0.1"}

    assert bad(check_proxies(a_known(a_place(tmp_path, environment=set_right)))) == []


@pytest.mark.parametrize("value", ["proxy:3128", "http://", "ftp://x:1", "http://x:port"])
def test_a_proxy_that_is_no_address_is_a_problem(tmp_path: Path, value: str) -> None:
    environment = {"HTTPS_PROXY": value, "NO_PROXY": "*"}

    found = only(check_proxies(a_known(a_place(tmp_path, environment=environment))))

    assert (found.id, found.severity) == ("proxy.malformed", Severity.PROBLEM)


def connected(place: Any, text: str, *, model: str = "m") -> None:
    """As `connect --write` leaves it; what is in the file may be another's by now."""
    file = place.home / "settings.json"
    file.write_text(text)
    record = FileRecord(
        file=str(file),
        language="json",  # type: ignore[arg-type]
        made=True,
        after=hash_of(text.encode()),
    )
    write_record(place.paths.agents, AgentRecord(agent="opencode", model=model, files=[record]))


def test_an_agent_that_asks_another_port_is_a_warning(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    connected(place, '{"url": "http://127.0.0.1:9999/v1"}')

    found = only(check_agents(a_known(place)))

    assert (found.id, found.fix) == ("agents.other-port", "localllm connect opencode --write")
    assert "asks port 9999, and the daemon's is 11711" in found.what


def test_an_agent_whose_settings_were_changed_is_a_warning(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    connected(place, '{"url": "http://127.0.0.1:11711/v1"}')
    (place.home / "settings.json").unlink()

    assert bad(check_agents(a_known(place))) == ["agents.led-away"]


def test_an_agent_that_asks_here_is_in_order(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    connected(place, '{"url": "http://127.0.0.1:11711/v1"}')

    assert bad(check_agents(a_known(place, status=a_status(an_instance("m"))))) == []
    assert bad(check_agents(a_known(place, status=a_status(an_instance("n"))))) == [
        "agents.other-model"
    ]


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("http://127.0.0.1:11711/v1", None),
        ("http://localhost:11434/v1", Severity.WARNING),
        ("https://api.example.com/v1", Severity.NOTE),
    ],
)
def test_a_variable_that_leads_agents_away_is_named(
    tmp_path: Path, value: str, severity: Severity | None
) -> None:
    place = a_place(tmp_path, environment={"OPENAI_BASE_URL": value})

    found = by_id(check_agents(a_known(place))).get("agents.variable")

    assert (found and found.severity) == severity
    assert found is None or found.fix == "unset OPENAI_BASE_URL"


@contextmanager
def answering(document: object) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("document", "models"),
    [
        ({"models": [{"name": "a:1b", "size_vram": 5}, {"name": "b"}]}, [("a:1b", 5), ("b", 0)]),
        ({"models": None}, []),
        (["nonsense"], []),
        ({"models": [{"size_vram": 1}]}, []),
    ],
)
def test_what_ollama_says_is_read_with_care(
    monkeypatch: pytest.MonkeyPatch, document: object, models: list[tuple[str, int]]
) -> None:
    monkeypatch.undo()
    with answering(document) as port:
        monkeypatch.setattr(others, "_OLLAMA_PORT", port)

        assert others._ollama_models() == models
