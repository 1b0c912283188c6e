#!/usr/bin/env python3
"""A stand-in for llama.cpp's server: its command line, its load log, its HTTP, and no model.

What it does with a chat is written in the chat: if the last message is a JSON object, it is a
`Script`. Standard library alone, so that any Python runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HELP = """\
--model F  --alias A  --port N  --parallel N  --ctx-size N  --kv-unified  --cache-ram N
--flash-attn V  --host HOST  ip address to listen on, or a path to bind to a UNIX socket
"""
LIFETIME_S = 900  # whatever a broken test forgets


@dataclass(frozen=True, slots=True)
class Script:
    """What to do with one chat."""

    chunks: int = 3
    delay_s: float = 0.0
    """Before every chunk."""

    pieces: tuple[str, ...] = ()
    """Hexadecimal: a stream's body, sent in exactly these pieces, in place of chunks."""

    body: str | None = None
    status: int = 200
    die_after: int | None = None
    """Chunks, after which the process kills itself; 0: before the answer's first byte."""

    cut_after: int | None = None
    """Chunks, after which the connection is closed."""

    hang: bool = False
    drop: str = ""
    """Close the connection without an answer: "reused" if it had a request before, or "always"."""

    garbage: bool = False


def main(kind: type[Engine] | None = None) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--alias", default="fake")
    parser.add_argument("--fake-load", type=float, default=0.0, help="seconds of answering 503")
    parser.add_argument("--fake-layers", default="0/0", help="on devices / all, for the log")
    parser.add_argument("--fake-mib", type=float, default=1.0, help="of its buffer, for the log")
    parser.add_argument("--fake-record", type=Path, help="gets a line of JSON per happening")
    options, rest = parser.parse_known_args()
    answers = {"--help": HELP, "--version": "version: 1 (fake)", "--list-devices": "Available:"}
    if rest and rest[0] in answers:
        print(answers[rest[0]])  # noqa: T201
        return
    signal.alarm(LIFETIME_S)
    os.umask(0o077)
    say_where_it_is(options.fake_layers, options.fake_mib)
    engine = (kind or Engine)(options.alias, options.fake_load, options.fake_record)
    run(engine, options.host, options.port)


def say_where_it_is(layers: str, mib: float) -> None:
    print(f"load_tensors: offloaded {layers} layers to GPU")  # noqa: T201
    print(f"load_tensors:          CPU model buffer size = {mib:8.2f} MiB", flush=True)  # noqa: T201


def run(engine: Engine, host: str, port: int | None) -> None:
    async def serve() -> None:
        if port is None:
            server = await asyncio.start_unix_server(engine.connected, host)
        else:
            server = await asyncio.start_server(engine.connected, host, port)
        await server.serve_forever()

    try:
        import uvloop  # noqa: PLC0415  # only the benchmark cares
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())


class HangUp(Exception):
    """The script wants the connection closed."""


class Engine:
    def __init__(self, alias: str, load_s: float, record: Path | None) -> None:
        self.alias, self.ready_at, self.record = alias, time.monotonic() + load_s, record
        self.connections = 0
        self.chunk = framed(sse({"content": " word"}, alias))

    def note(self, **happened: object) -> None:
        if self.record is not None:
            with self.record.open("a") as file:
                file.write(json.dumps(happened) + "\n")

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, requests = self.connections, 0
        try:
            while (request := await read_request(reader)) is not None:
                requests += 1
                path, body, last = request
                self.note(path=path, connection=number, body=body.decode())
                script = script_of(body)
                if script.drop == "always" or (script.drop == "reused" and requests > 1):
                    break
                await self.answer_while_there(reader, writer, path, body)
                if last:
                    break
        except ConnectionError:
            self.note(gone=True)
        except (HangUp, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer_while_there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
    ) -> None:
        """Answer until done or until the client has gone, as llama.cpp does."""
        answering = asyncio.ensure_future(self.answer(writer, path, body))
        leaving = asyncio.ensure_future(reader.read(1))
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            leaving.cancel()
            await asyncio.wait((leaving,))
            await answering
            return
        answering.cancel()
        raise ConnectionResetError

    async def answer(self, writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
        if time.monotonic() < self.ready_at:
            writer.write(whole(503, b'{"error":{"code":503,"message":"Loading model"}}'))
        elif path == "/health":
            writer.write(whole(200, b'{"status":"ok"}'))
        else:
            await self.chat(writer, script_of(body), stream=bool(json.loads(body).get("stream")))
        await writer.drain()

    async def chat(self, writer: asyncio.StreamWriter, script: Script, *, stream: bool) -> None:
        if script.hang:
            await asyncio.sleep(LIFETIME_S)
        if script.die_after == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if script.garbage:
            writer.write(b"SMTP/1.0 ready when you are\r\n\r\n")
            raise HangUp
        if script.body is not None or not stream:
            await asyncio.sleep(script.delay_s)
            text = script.body or json.dumps(completion(self.alias, script.chunks))
            writer.write(whole(script.status, text.encode()))
            return
        writer.write(head(200, "text/event-stream", "Transfer-Encoding: chunked"))
        await (self.pieces(writer, script) if script.pieces else self.chunks(writer, script))
        writer.write(b"0\r\n\r\n")

    async def pieces(self, writer: asyncio.StreamWriter, script: Script) -> None:
        for piece in script.pieces:
            writer.write(framed(bytes.fromhex(piece)))
            await asyncio.sleep(script.delay_s)

    async def chunks(self, writer: asyncio.StreamWriter, script: Script) -> None:
        for number in range(script.chunks):
            await asyncio.sleep(script.delay_s)
            if number == script.die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            if number == script.cut_after:
                raise HangUp
            writer.write(self.chunk)
            await writer.drain()
            if number % 1000 == 999:
                self.note(written=number + 1)
        writer.write(framed(sse({}, self.alias, finish="stop")) + framed(b"data: [DONE]\n\n"))


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes, bool] | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    named = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(named.get("content-length", 0)))
    return lines[0].split()[1], body, named.get("connection") == "close"


def script_of(body: bytes) -> Script:
    try:
        given = json.loads(json.loads(body)["messages"][-1]["content"])
        return Script(**{**given, "pieces": tuple(given.get("pieces", ()))})
    except (ValueError, LookupError, TypeError, AttributeError):
        return Script()


def head(status: int, kind: str, length: str) -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode()


def whole(status: int, body: bytes) -> bytes:
    return head(status, "application/json", f"Content-Length: {len(body)}") + body


def framed(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def sse(delta: Mapping[str, object], alias: str, finish: str | None = None) -> bytes:
    choice = {"finish_reason": finish, "index": 0, "delta": delta}
    event = {"choices": [choice], "created": 1764000000, "id": "chatcmpl-0", "model": alias}
    event |= {"system_fingerprint": "b1-fake", "object": "chat.completion.chunk"}
    return f"data: {json.dumps(event)}\n\n".encode()


def completion(alias: str, tokens: int) -> dict[str, object]:
    message = {"role": "assistant", "content": " word" * tokens}
    choice = {"finish_reason": "stop", "index": 0, "message": message}
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    timings = {"prompt_n": 9, "prompt_ms": 9.0, "predicted_n": tokens, "predicted_ms": 9.0}
    return {
        "choices": [choice],
        "created": 1764000000,
        "id": "chatcmpl-0",
        "model": alias,
        "object": "chat.completion",
        "usage": usage,
        "timings": timings,
    }


if __name__ == "__main__":
    main()
