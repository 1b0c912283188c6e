"""Which pictures there are of the screen, and the keys that lead to each."""

from __future__ import annotations

from localllm.agents.profile import read_agents
from localllm.api.agent_views import FoundAgentView
from localllm.api.pull_views import PullErrorView
from localllm.paths import bundled_profiles
from localllm.tui.source import Source
from localllm.tui.themes import CONTRAST, LIGHT
from tests.fakes import scenes
from tests.fakes.a_screen import until
from tests.fakes.a_switcher import CODER
from tests.fakes.scene import Scene
from tests.fakes.scene_parts import HOME, gib
from tests.fakes.screen_shots import Part, Show, Step, Visit

_HERE = {"claude-code": "claude", "codex": "codex", "aider": "aider"}
_ANSWER = """\
A **B-tree** keeps its keys in order, many to a page:

- a look costs one page a level, and there are few levels
- a full page is *split*, and its middle key goes up

```python
def find(node, key):
    at = bisect(node.keys, key)
    return node.rows[at] if node.is_leaf else find(node.below[at], key)
```

Its cousin, the `B+`-tree, has all rows in its leaves.
"""
_LOG = """\
load_tensors: offloaded 65/65 layers to GPU
llama_context: n_ctx_seq (32768) < n_ctx_train (131072) -- the full capacity of the model will not be utilized
main: server is listening on http://127.0.0.1:41873
srv  update_slots: all slots are idle
slot launch_slot_: id  0 | task 214 | processing task
slot update_slots: id  0 | task 214 | new prompt, n_ctx_slot = 32768, n_keep = 0, n_prompt_tokens = 18432
slot update_slots: id  0 | task 214 | kv cache rm [17920, end)
slot update_slots: id  0 | task 214 | prompt processing progress, n_past = 18432, n_tokens = 512, progress = 0.027778
slot update_slots: id  0 | task 214 | prompt done, n_past = 18432, n_tokens = 512
""".splitlines()


# the scenes


def _at_work() -> Scene:
    """rtx5090, with something to be seen on every screen; what is fetched comes later."""
    scene = scenes.rtx5090()
    scene.logs = {scene.models[0].view.id: _LOG * 4}
    scene.answer = _ANSWER.splitlines(keepends=True)
    scene.found_agents = [
        FoundAgentView(
            id=agent.id,
            name=agent.name,
            installed=agent.id in _HERE,
            program=f"/usr/bin/{_HERE[agent.id]}" if agent.id in _HERE else None,
            connected="qwen3-32b" if agent.id == "codex" else None,
            writes=agent.why_not is None and bool(agent.files),
            launches=False,
            checked="1.0",
            why_not=agent.why_not,
        )
        for agent in read_agents(bundled_profiles())
    ]
    return scene


# the steps


async def _dashboard(visit: Visit) -> None:
    await visit.see("tok/s", "claude-cli")


async def _help(visit: Visit) -> None:
    await visit.go("question_mark", see=["on this screen", "on every screen"])


async def _palette(visit: Visit) -> None:
    await visit.go("question_mark", "ctrl+p", see=["Show the screen Agents", "Maximize"])


async def _request(visit: Visit) -> None:
    await visit.go("escape", "tab", "enter", see=["conversation", "req_0000000000000001"])


async def _switcher(visit: Visit) -> None:
    await visit.press("escape")
    await visit.go("s", see=["qwen3-32b", CODER, "on disk", "65536"])


async def _another_quantization(visit: Visit) -> None:
    await visit.go(*"coder", "down", "right", see=["Q4_K_M", "131072", "17.2 GiB to fetch"])


async def _question(visit: Visit) -> None:
    await visit.go("enter", see=["enter: fetch it and switch"])


async def _switching(visit: Visit) -> None:
    await _switcher(visit)
    await visit.press(*"coder", "enter", "enter")
    await visit.see("▸ download", " 0%")
    visit.scene.change_pull("p1", "fetching", here=gib(6.1), speed=94e6, left=127.0)
    await visit.see(" 35%", "6.1")


async def _switch_failed(visit: Visit) -> None:
    error = PullErrorView(
        message="The disk is full.\n  why: 11.2 GiB were to come, 2.1 GiB are free"
        "\n  fix: localllm rm qwen3-8b frees 8.1 GiB",
        code="disk_full",
    )
    visit.scene.change_pull("p1", "failed", error=error)
    await visit.see("The disk is full.", "what to do")


async def _plan(visit: Visit) -> None:
    await visit.press("escape", "2")
    await visit.see("* Q6_K", "fits partly", "all of it on the device")


async def _explained(visit: Visit) -> None:
    await visit.go("e", see=["number by number", "KV cache"])


async def _logs(visit: Visit) -> None:
    await visit.go("escape", "4", see=[_LOG[-1][:60], "following"])


async def _search(visit: Visit) -> None:
    await visit.go("slash", *"prompt", "enter", see=["“prompt”:", " of 12"])


async def _chat(visit: Visit) -> None:
    await visit.press("5")
    await visit.see("with qwen3-32b")
    await visit.press(*"What is a B-tree?", "enter")
    await visit.see("has all rows in its leaves", "tokens,")
    await until(visit.pilot, lambda: visit.app.screen._answer is None, "its end")


async def _agents(visit: Visit) -> None:
    await visit.go("escape", "6", see=["Claude Code", ".aider.conf.yml"])


async def _downloads(visit: Visit) -> None:
    visit.scene.pulls = scenes.downloading().pulls
    await visit.go("3", see=["Here/size", "paused", "unsloth/"])


async def _confirm(visit: Visit) -> None:
    await visit.go("x", see=["Cancel the download of", "half files"])


async def _first(visit: Visit) -> None:
    await visit.see("Nothing is served.", "best for chat", "on this disk already")


async def _downloads_of_nothing(visit: Visit) -> None:
    await visit.go("3", see=["Nothing is being downloaded"])


async def _chat_with_nobody(visit: Visit) -> None:
    await visit.go("5", see=["Nothing is served yet"])


async def _lost(visit: Visit) -> None:
    app = visit.app
    app.source.close()
    app.source = Source(
        HOME / "daemon.json", visit.daemon.start
    )  # a path that is the same anywhere
    await visit.see("no daemon since 22:06:40")


def _in_theme(name: str) -> Step:
    async def step(visit: Visit) -> None:
        visit.app.theme = name
        await _dashboard(visit)

    return step


def _state(*texts: str) -> Step:
    """A dashboard on which all of this is to be read."""

    async def step(visit: Visit) -> None:
        await visit.see(*texts)

    return step


SHOWS = (
    Show(
        "screens",
        _at_work,
        {
            "dashboard": _dashboard,
            "help": _help,
            "palette": _palette,
            "request": _request,
            "switcher": _switcher,
            "switcher-quantization": _another_quantization,
            "switcher-question": _question,
            "plan": _plan,
            "explained": _explained,
            "logs": _logs,
            "logs-search": _search,
            "chat": _chat,
            "agents": _agents,
            "downloads": _downloads,
            "confirm": _confirm,
        },
    ),
    Show(
        "nothing-served",
        scenes.nothing_served,
        {
            "first": _first,
            "downloads-none": _downloads_of_nothing,
            "chat-nobody": _chat_with_nobody,
        },
    ),
    Show(
        "switch",
        _at_work,
        {"switching": _switching, "switch-failed": _switch_failed},
        under_way=True,
    ),
    Show("busy", scenes.busy, {"busy": _state("waiting", "91")}),
    Show("two-5090s", scenes.two_5090s, {"two-5090s": _state("llama-3")}),
    Show("m3-ultra", scenes.m3_ultra, {"m3-ultra": _state("deepseek")}),
    Show("no-gpu", scenes.no_gpu, {"no-gpu": _state("smollm2")}),
    Show("downloading", scenes.downloading, {"downloading": _state("downloading")}),
    Show("failed", scenes.failed, {"failed": _state("failed", "memory ran out")}),
    Show(
        "throttled",
        scenes.throttled,
        {"throttled": _state("90 °C"), "lost": _lost},
    ),
    Show(
        "wrong-settings",
        scenes.wrong_settings,
        {"wrong-settings": _state("config.toml")},
        sizes=((80, 24), (120, 40)),
    ),
    Show(
        "themes",
        _at_work,
        {"light": _in_theme(LIGHT), "high-contrast": _in_theme(CONTRAST)},
        sizes=((120, 40),),
    ),
    Show("no-colour", _at_work, {"no-colour": _dashboard}, sizes=((120, 40),), no_color=True),
)
PARTS = [Part(show, size) for show in SHOWS for size in show.sizes]
