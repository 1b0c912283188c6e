#!/usr/bin/env python3
"""`fake_engine.py` that closes an agent's tool loop: it has one file read, another written, and ends.

A chat with the words of `task` in it and tools to do it with is answered with a call of the agent's
own tool, whatever it is called, as long as there is something to do; any other with a few words.
What is next is told by the conversation alone: nothing is kept of one but its prefix, to count
what a cache would have spared. The answers stream as llama.cpp's do, thoughts and calls in pieces.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fakes import fake_engine
from tests.fakes.fake_engine import framed, head, sse, whole

Document: TypeAlias = Mapping[str, Any]

CHAT = "/v1/chat/completions"
DONE = "The file is written, all is done."
NOT_READ = "The file was not to be read, I leave it at that."
SMALL_TALK = "A few words without a meaning."
THOUGHT = "The user wants a file read and another one written: one after the other."
BYTES_PER_TOKEN = 4

_TASK = re.compile(r"Read the file (\S+) and write what it says, in capitals, to the file (\S+)\.")
_SECRET = re.compile(r"heron-[0-9a-f]{8}")
_SHELLS = ("exec_command", "shell_command", "shell", "local_shell", "run_shell_command", "bash")
_READERS = ("Read", "read", "read_file", "view", *_SHELLS)
_WRITERS = ("Write", "write", "write_file", "create", "apply_patch", *_SHELLS)
_PATHS = frozenset({"file_path", "filePath", "absolute_path", "path"})
_CONTENTS = frozenset({"content", "file_text"})
_COMMANDS = frozenset({"command", "cmd"})
_PATCHES = frozenset({"input", "patch"})
_FILLERS = {"string": "as asked", "boolean": False, "integer": 1, "number": 1, "array": []}


def task(source: Path, target: Path) -> str:
    """Say in a person's words what an agent is to do."""
    return f"Read the file {source} and write what it says, in capitals, to the file {target}."


def secret(number: int) -> str:
    """Make what the file says: nothing that stands anywhere else in a conversation."""
    return f"heron-{number:08x}"


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Of one of the agent's tools, with a word before it."""

    text: str
    tool: str
    arguments: str
    """JSON."""


Step: TypeAlias = Say | Call


def next_step(chat: Document) -> Step:
    """Decide by what has been said so far."""
    messages, tools = chat.get("messages", ()), _tools(chat)
    asked = _last_match(_TASK, _texts(messages, "user"))
    reader, writer = _first(_READERS, tools), _first(_WRITERS, tools)
    if asked is None or reader is None or writer is None:
        return Say(SMALL_TALK)
    source, target = asked.groups()
    read = _last_match(_SECRET, _texts(messages, "tool"))
    if read is None:
        if any(message.get("role") == "tool" for message in messages):
            return Say(NOT_READ)
        return _call("I read it.", reader, source, None)
    text = read[0].upper()
    if any(text in call for call in _calls(messages)):
        return Say(DONE)
    return _call("I write it.", writer, target, text)


def _tools(chat: Document) -> dict[str, Document]:
    """Their parameters by their names."""
    functions = (tool.get("function", {}) for tool in chat.get("tools") or ())
    return {one["name"]: one.get("parameters") or {} for one in functions if "name" in one}


def _first(names: Sequence[str], tools: Mapping[str, Document]) -> tuple[str, Document] | None:
    return next(((name, tools[name]) for name in names if name in tools), None)


def _texts(messages: Sequence[Document], role: str) -> Iterator[str]:
    for message in messages:
        if message.get("role") == role:
            content = message.get("content") or ()
            parts = [{"text": content}] if isinstance(content, str) else content
            yield "\n".join(part.get("text") or "" for part in parts)


def _calls(messages: Sequence[Document]) -> Iterator[str]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield call["function"]["arguments"]


def _last_match(pattern: re.Pattern[str], texts: Iterator[str]) -> re.Match[str] | None:
    return max(pattern.finditer("\n".join(texts)), key=re.Match.start, default=None)


def _call(word: str, tool: tuple[str, Document], path: str, text: str | None) -> Call:
    name, schema = tool
    return Call(word, name, json.dumps(dict(_arguments(schema, path, text))))


def _arguments(schema: Document, path: str, text: str | None) -> Iterator[tuple[str, object]]:
    """Fill in what the task needs by the fields' names, and what else must be there by its kind."""
    for name, field in schema.get("properties", {}).items():
        if name in _PATHS:
            yield name, path
        elif name in _CONTENTS and text is not None:
            yield name, text
        elif name in _COMMANDS:
            yield name, _command(field, path, text)
        elif name in _PATCHES and text is not None:
            yield name, f"*** Begin Patch\n*** Add File: {path}\n+{text}\n*** End Patch\n"
        elif name in schema.get("required", ()):
            yield name, next(iter(field.get("enum", ())), _FILLERS.get(field.get("type"), {}))


def _command(field: Document, path: str, text: str | None) -> str | list[str]:
    quoted = shlex.quote(path)
    line = f"cat {quoted}" if text is None else f"echo {shlex.quote(text)} > {quoted}"
    return ["sh", "-c", line] if field.get("type") == "array" else line


def deltas(step: Step) -> Iterator[dict[str, object]]:
    yield {"role": "assistant", "content": None}
    for piece in _pieces(THOUGHT):
        yield {"reasoning_content": piece}
    for piece in _pieces(step.text):
        yield {"content": piece}
    if isinstance(step, Call):
        named = {"name": step.tool, "arguments": ""}
        yield {"tool_calls": [{"index": 0, **_identity(step), "function": named}]}
        for piece in _pieces(step.arguments):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def message(step: Step) -> dict[str, object]:
    said: dict[str, object] = {"role": "assistant", "content": step.text}
    said["reasoning_content"] = THOUGHT
    if isinstance(step, Call):
        function = {"name": step.tool, "arguments": step.arguments}
        said["tool_calls"] = [{**_identity(step), "function": function}]
    return said


def _identity(call: Call) -> dict[str, str]:
    return {"id": f"call_{crc32(call.arguments.encode()):08x}", "type": "function"}


def _pieces(text: str) -> list[str]:
    """Cut it where no word ends, as tokens are."""
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def finish_of(step: Step) -> str:
    return "tool_calls" if isinstance(step, Call) else "stop"


class ScriptedEngine(fake_engine.Engine):
    def __init__(self, alias: str, load_s: float, record: Path | None) -> None:
        super().__init__(alias, load_s, record)
        self.read: deque[str] = deque(maxlen=16)
        """Prompts, whose beginnings are in the cache."""

    async def answer(self, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
        if path != CHAT and path not in _TEXTS:
            await super().answer(writer, path, body)
            return
        asked = json.loads(body)
        if path == CHAT:
            await self.write(writer, asked)
        else:
            writer.write(whole(200, json.dumps(_TEXTS[path](asked)).encode()))
        await writer.drain()

    async def write(self, writer: asyncio.StreamWriter, chat: Document) -> None:
        step, usage = next_step(chat), self.usage(chat)
        timings = {"cache_n": usage["prompt_tokens_details"]["cached_tokens"], "prompt_ms": 9.0}
        timings |= {"prompt_n": usage["prompt_tokens"] - timings["cache_n"]}
        timings |= {"predicted_n": usage["completion_tokens"], "predicted_ms": 9.0}
        if not chat.get("stream"):
            choice = {"index": 0, "finish_reason": finish_of(step), "message": message(step)}
            told = {"choices": [choice], "usage": usage, "timings": timings}
            document = {**fake_engine.completion(self.alias, 0), **told}
            writer.write(whole(200, json.dumps(document).encode()))
            return
        writer.write(head(200, "text/event-stream", "Transfer-Encoding: chunked"))
        for delta in deltas(step):
            writer.write(framed(sse(delta, self.alias)))
            await writer.drain()
        writer.write(framed(sse({}, self.alias, finish=finish_of(step))))
        if (chat.get("stream_options") or {}).get("include_usage"):
            told = {"choices": [], "usage": usage, "timings": timings}
            writer.write(framed(f"data: {json.dumps(told)}\n\n".encode()))
        writer.write(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def usage(self, chat: Document) -> dict[str, Any]:
        prompt = json.dumps([chat.get("tools"), chat.get("messages")])
        kept = max((len(commonprefix((prompt, other))) for other in self.read), default=0)  # noqa: RUF071
        self.read.append(prompt)
        read, cached = len(prompt) // BYTES_PER_TOKEN, kept // BYTES_PER_TOKEN
        return {
            "prompt_tokens": read,
            "completion_tokens": 24,
            "total_tokens": read + 24,
            "prompt_tokens_details": {"cached_tokens": min(cached, read - 1)},
        }


def _tokenized(asked: Document) -> object:
    return {"tokens": [*range(-(-len(asked["content"]) // BYTES_PER_TOKEN))]}


def _templated(asked: Document) -> object:
    return {"prompt": json.dumps(asked)}


_TEXTS: dict[str, Callable[[Document], object]] = {
    "/tokenize": _tokenized,
    "/apply-template": _templated,
}

if __name__ == "__main__":
    fake_engine.main(ScriptedEngine)
