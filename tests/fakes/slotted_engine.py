"""An engine with slots, in the test's own process, on llama.cpp's wire: it counts what it reads again.

A token is four characters of the prompt; a slot holds text, and goes on with what a new prompt has
in common with it. Saved slots are real files. It can be told to refuse, die, hang or write half.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from os.path import commonprefix
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
BYTES_PER_TOKEN = 4
ANSWER = "Well, it is done. "
DEADLINE_S = 15.0
"""For what takes milliseconds: only a test that has failed gets there."""


class Fault(StrEnum):
    REFUSES = "refuses"
    DIES = "dies"
    HANGS = "hangs"
    """Until it is let go on."""

    WRITES_HALF = "writes half"


@dataclass(slots=True)
class Slot:
    text: str = ""
    works: anyio.Lock = field(default_factory=anyio.Lock)
    """One thing at a time: others wait, as llama.cpp puts them off."""


class SlottedEngine:
    """Mutable, for the test to look at and to turn."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder = folder
        self.slots = [Slot() for _ in range(slots)]
        self.chats: list[dict[str, Any]] = []
        """Bodies, in the order in which they came."""

        self.read: list[int] = []
        """Tokens that were read, for each chat that came to its end."""

        self.done: list[tuple[str, int]] = []
        """What was done with slots, and with which."""

        self.asked: list[str] = []
        """Names of files that were to be written or read."""

        self.faults: dict[str, Fault] = {}
        """By save, restore, erase or chat."""

        self.hangs = self.gone = 0
        """How often it did, and how often somebody did not wait for the end of a chat."""

        self.is_dead = False
        self._go_on = anyio.Event()
        self._changed = anyio.Event()

    def restart(self) -> None:
        """Be a new process, which holds nothing."""
        self.slots = [Slot() for _ in self.slots]
        self.is_dead = False

    def go_on(self) -> None:
        """End what hangs, and hang no more."""
        self.faults = {what: f for what, f in self.faults.items() if f is not Fault.HANGS}
        self._go_on.set()
        self._go_on = anyio.Event()

    async def until(self, true: Callable[[], Any], what: str) -> None:
        with anyio.move_on_after(DEADLINE_S):
            while not true():
                await self._changed.wait()
        assert true(), what

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_post(CHAT, self._chat)
        application.router.add_post(COMPLETIONS, self._chat)
        application.router.add_post("/slots/{slot}", self._slot)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        self._die_if_dead(request)
        return web.json_response({"status": "ok"})

    async def _chat(self, request: web.Request) -> web.Response:
        self._die_if_dead(request)
        body = json.loads(await request.read())
        self.chats.append(body)
        self._note()
        text = prompt_of(body)
        slot = self._slot_for(body, text)
        try:
            async with slot.works:
                return await self._answer(request, slot, text, body)
        except BaseException:
            self.gone += 1
            self._note()
            raise

    async def _answer(
        self, request: web.Request, slot: Slot, text: str, body: dict[str, Any]
    ) -> web.Response:
        kept = len(commonprefix([slot.text, text]))  # noqa: RUF071  # of texts
        slot.text = text[: max(kept, len(text) // 2)]  # so far it is when it hangs
        if await self._fails(request, "chat"):
            return web.json_response({"error": {"code": 400, "message": "no"}}, status=400)
        slot.text = text + ANSWER[: BYTES_PER_TOKEN * body.get("max_tokens", 4)]
        prompt, cached = len(text) // BYTES_PER_TOKEN, kept // BYTES_PER_TOKEN
        written = (len(slot.text) - len(text)) // BYTES_PER_TOKEN
        self.read.append(prompt - cached)
        self._note()
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        said = {"role": "assistant", "content": slot.text[len(text) :]}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        document = {"choices": [choice], "usage": usage}
        return _streamed(document) if body.get("stream") else web.json_response(document)

    def _slot_for(self, body: dict[str, Any], text: str) -> Slot:
        if "id_slot" in body:
            return self.slots[body["id_slot"] % len(self.slots)]
        free = [one for one in self.slots if not one.works.locked()] or self.slots
        return max(free, key=lambda one: len(commonprefix([one.text, text])))  # noqa: RUF071

    async def _slot(self, request: web.Request) -> web.Response:
        self._die_if_dead(request)
        number, action = int(request.match_info["slot"]), request.query["action"]
        asked = json.loads(await request.read())
        slot = self.slots[number % len(self.slots)]
        self.asked.append(asked.get("filename", ""))
        async with slot.works:
            refused = await self._fails(request, action)
            self.done.append((action, number))
            self._note()
            if refused:
                slot.text = "" if action == "restore" else slot.text
                return web.json_response({"error": {"code": 500, "message": "no"}}, status=500)
            match action:
                case "save":
                    return self._save(slot, self.folder / asked["filename"])
                case "restore":
                    return self._restore(request, slot, self.folder / asked["filename"])
                case _:
                    slot.text = ""
                    return web.json_response({"n_erased": 1})

    def _save(self, slot: Slot, file: Path) -> web.Response:
        data = f"{len(slot.text)}\n{slot.text}".encode()
        half = self.faults.get("save") is Fault.WRITES_HALF
        file.write_bytes(data[: len(data) // 2] if half else data)
        tokens = len(slot.text) // BYTES_PER_TOKEN
        return web.json_response({"n_saved": tokens, "n_written": len(data)})

    def _restore(self, request: web.Request, slot: Slot, file: Path) -> web.Response:
        slot.text = ""
        if not file.exists():
            return web.json_response({"error": {"code": 400, "message": "no"}}, status=400)
        size, _, text = file.read_text().partition("\n")
        if int(size) != len(text):  # llama.cpp aborts
            self._die(request)
        slot.text = text
        return web.json_response({"n_restored": len(text) // BYTES_PER_TOKEN, "n_read": len(text)})

    async def _fails(self, request: web.Request, what: str) -> bool:
        """Do as it was told to; tell whether to refuse."""
        match self.faults.get(what):
            case Fault.HANGS:
                self.hangs += 1
                self._note()
                await self._go_on.wait()
            case Fault.DIES:
                self._die(request)
            case Fault.REFUSES:
                return True
            case _:
                pass
        return False

    def _die_if_dead(self, request: web.Request) -> None:
        if self.is_dead:
            self._die(request)

    def _die(self, request: web.Request) -> None:
        self.is_dead = True
        assert request.transport is not None
        request.transport.abort()
        raise ConnectionResetError

    def _note(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def prompt_of(body: dict[str, Any]) -> str:
    """What a template makes of it, tools first."""
    if "prompt" in body:
        return str(body["prompt"])
    tools = json.dumps(body["tools"]) if "tools" in body else ""
    return tools + "".join(f"<{m['role']}>{m['content']}" for m in body["messages"])


@asynccontextmanager
async def a_slotted_engine(
    folder: Path, slots: int = 2
) -> AsyncIterator[tuple[SlottedEngine, str]]:
    """Run one on a loopback port; gives it and its address."""
    engine = SlottedEngine(folder, slots)
    runner = web.AppRunner(
        engine.application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield engine, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        engine.go_on()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _streamed(document: dict[str, Any]) -> web.Response:
    progress, last = {"choices": [], "prompt_progress": {}}, {**document, "choices": []}
    events = [json.dumps(progress), json.dumps(last), "[DONE]"]
    text = "".join(f"data: {event}\n\n" for event in events)
    return web.Response(text=text, content_type="text/event-stream")
