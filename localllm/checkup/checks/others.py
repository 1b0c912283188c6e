"""Other programs that hold memory of a card or of the host, and how each is made to let go of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known, Program
from localllm.hardware.machine import Machine
from localllm.units import GIB, size
from localllm.wording.plain import plain

_A = Area.OTHERS
_ANSWERS_WITHIN_S = 0.4
_MUCH_BYTES, _MORE_THAN_A_DESKTOP_BYTES = 1 * GIB, 2 * GIB
_OLLAMA_PORT = 11_434


@dataclass(frozen=True, slots=True)
class _Server:
    """A program that computes models, told by words of its command line."""

    name: str
    marks: tuple[str, ...]
    lets_go: str
    """The command; `{pids}` stands for its processes."""


_RUN_OTHERS = ("python", "pypy", "node", "uv", "env", "sh", "bash", "zsh")
_WHAT_IS_GIVEN = ("-", "/", "~", "http")
_FIRST_WORDS = 4
_NAME_THEM_ONLY = frozenset(
    {
        "grep",
        "rg",
        "vi",
        "vim",
        "nvim",
        "nano",
        "less",
        "tail",
        "cat",
        "code",
        "man",
        "find",
        "make",
    }
    | {"git", "curl", "wget", "docker", "podman", "journalctl", "systemctl", "brew", "pip", "rsync"}
)
_SERVERS = (
    _Server("Ollama", ("ollama serve", "ollama runner", "/ollama", "ollama app"), "ollama ps"),
    _Server("LM Studio", ("lm studio", "lm-studio", "lmstudio", ".lmstudio"), "lms unload --all"),
    _Server("vLLM", ("vllm serve", "vllm.entrypoints", "vllm::"), "kill {pids}"),
    _Server("SGLang", ("sglang.launch_server", "sglang::"), "kill {pids}"),
    _Server(
        "ComfyUI",
        ("comfyui", "comfy_ui"),
        "curl -X POST -H 'Content-Type: application/json' "
        '-d \'{{"unload_models": true, "free_memory": true}}\' http://127.0.0.1:8188/free',
    ),
    _Server("KoboldCpp", ("koboldcpp",), "kill {pids}"),
    _Server("Stable Diffusion web UI", ("stable-diffusion-webui",), "kill {pids}"),
    _Server("text-generation-webui", ("text-generation-webui",), "kill {pids}"),
    _Server("LocalAI", ("local-ai run", "localai"), "kill {pids}"),
    _Server("mlx_lm.server", ("mlx_lm.server", "mlx_lm server"), "kill {pids}"),
    _Server("llamafile", ("llamafile",), "kill {pids}"),
    _Server("llama-server", ("llama-server", "llama_cpp.server"), "kill {pids}"),
)
"""The first that matches counts: LM Studio and Ollama start servers of llama.cpp's, too.

Sources: docs.ollama.com/cli, lmstudio.ai/docs/cli, ComfyUI's server.py (POST /free)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one program, all of its processes together, holds; in bytes."""

    server: _Server
    pids: tuple[int, ...]
    resident: int
    on_cards: int


def check_others(known: Known) -> Iterator[Finding]:
    """What other programs hold."""
    programs, machine = known.programs.get(), known.machine.get()
    if programs is None:
        return
    cards = holders(machine)
    found = find_servers(programs, cards)
    for held in found:
        yield _of_server(held)
    named = {pid for held in found for pid in held.pids}
    yield from _of_unknown(programs, cards, named)
    if not found:
        yield ok("others.none", _A, "No other program that computes models runs.")


def holders(machine: Machine | None) -> dict[int, int]:
    """By process: bytes of cards that it holds, where the driver tells."""
    held: dict[int, int] = {}
    for device in () if machine is None else machine.devices:
        for one in device.holders or ():
            held[one.pid] = held.get(one.pid, 0) + (one.held_bytes or 0)
    return held


def find_servers(programs: Sequence[Program], cards: Mapping[int, int]) -> list[Held]:
    """Find the known ones; engines of localllm's own are none."""
    by_server: dict[str, list[Program]] = {}
    for program in programs:
        server = None if program.engine_of is not None else _server_of(program)
        if server is not None:
            by_server.setdefault(server.name, []).append(program)
    return [
        Held(
            next(one for one in _SERVERS if one.name == name),
            tuple(one.pid for one in mine),
            sum(one.resident_bytes for one in mine),
            sum(cards.get(one.pid, 0) for one in mine),
        )
        for name, mine in by_server.items()
    ]


def _server_of(program: Program) -> _Server | None:
    """Look at what runs, and not at what it is given: a file, or a prompt, may be called anything."""
    words = program.command.split(" ")
    name = words[0].rpartition("/")[2].lower()
    if name in _NAME_THEM_ONLY:
        return None
    begin = " ".join(_named(_script(words) if name.startswith(_RUN_OTHERS) else words)).lower()
    return next((one for one in _SERVERS if any(mark in begin for mark in one.marks)), None)


def _script(words: Sequence[str]) -> Sequence[str]:
    """What an interpreter runs: from its file or module on."""
    if "-m" in words[1:_FIRST_WORDS]:
        return words[words.index("-m") + 1 :]
    return words[next((i for i, one in enumerate(words) if i and one[:1] != "-"), len(words)) :]


def _named(words: Sequence[str]) -> Sequence[str]:
    """A program's name, in which there may be blanks, and what it is to do; without what it is given."""
    ends = (i for i, one in enumerate(words) if i and one.startswith(_WHAT_IS_GIVEN))
    return words[: min(next(ends, _FIRST_WORDS), _FIRST_WORDS)]


def _of_server(held: Held) -> Finding:
    models = _ollama_models() if held.server.name == "Ollama" else []
    fix = "; ".join(f"ollama stop {word(name)}" for name, _ in models) or held.server.lets_go
    pids = " ".join(map(str, held.pids))
    loaded = "".join(f", {plain(name)} is loaded" for name, _ in models)
    on_cards = max(held.on_cards, sum(count for _, count in models))
    much = on_cards >= _MUCH_BYTES or held.resident >= _MUCH_BYTES
    amount = f"{size(held.resident)} of memory" + (
        f" and {size(on_cards)} of a card" if on_cards else ""
    )
    return Finding(
        "others.holds-memory" if much else "others.runs",
        _A,
        Severity.WARNING if much else Severity.NOTE,
        f"{held.server.name} runs (process {pids.replace(' ', ', ')}) and holds {amount}{loaded}.",
        "localllm plans with what it leaves over, and takes fewer layers or a shorter context"
        if much
        else "as soon as it loads a model, that memory is missing here",
        fix.format(pids=pids) if not models else fix,
    )


def _of_unknown(
    programs: Sequence[Program], cards: Mapping[int, int], named: set[int]
) -> Iterator[Finding]:
    """Whoever else holds much of a card: a game, a notebook, a training run."""
    by_pid = {one.pid: one for one in programs}
    for pid, held in cards.items():
        program = by_pid.get(pid)
        if pid in named or held < _MORE_THAN_A_DESKTOP_BYTES or (program and program.engine_of):
            continue
        name = plain(program.name) if program else "a program of another user"
        yield Finding(
            "others.on-card",
            _A,
            Severity.WARNING,
            f"{name} (process {pid}) holds {size(held)} of a card.",
            "models have to do with what it leaves over",
            f"ps -fp {pid}",
        )


def _ollama_models() -> list[tuple[str, int]]:
    """Ask Ollama what it has loaded, with the bytes that are on cards; nothing where it is silent."""
    connection = http.client.HTTPConnection("127.0.0.1", _OLLAMA_PORT, timeout=_ANSWERS_WITHIN_S)
    try:
        connection.request("GET", "/api/ps")
        models = json.loads(connection.getresponse().read(1 << 20)).get("models") or []
        return [(str(one["name"]), int(one.get("size_vram") or 0)) for one in models]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return []
    finally:
        connection.close()
