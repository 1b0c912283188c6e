"""A screen that says what it hears, in the words of Textual's driver for pages; a small program.

Typed to: `end N` ends it with N, `start` asks for a daemon, `stay` has it outlive its input; `fork`
leaves another behind.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from localllm.errors import LocalLLMError
from localllm.web.starting import ask_to_start


def main() -> None:
    sys.stdout.buffer.write(b"__GANGLION__\n")
    show(f"begun {os.environ['COLUMNS']}x{os.environ['ROWS']}")
    stays = False
    while head := sys.stdin.buffer.read(5):
        payload = sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))
        show(f"{head[:1].decode()} {payload.decode()}")
        match payload.split():
            case [b"end", code]:
                sys.exit(int(code))
            case [b"start"]:
                show(start())
            case [b"stay"]:
                stays = True
            case [b"fork"]:
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", __file__])
                show("forked")
            case _:
                pass
    while stays:
        time.sleep(1)


def show(text: str) -> None:
    payload = text.encode()
    sys.stdout.buffer.write(b"D" + len(payload).to_bytes(4, "big") + payload)
    sys.stdout.buffer.flush()


def start() -> str:
    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as server:
        try:
            ask_to_start(server)
        except LocalLLMError as error:
            return f"not started: {type(error).__name__} {error}"
    return "started"


if __name__ == "__main__":
    main()
