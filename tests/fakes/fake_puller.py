"""Stands for localllm.store.pull_worker: talks as it does, and does what the repository is called.

Run as `fake_puller.py FOLDER`. What it is told it notes in FOLDER/record, a JSON document a line;
it comes to its end when FOLDER/go is there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

LIFETIME_S = 60  # whatever a broken test forgets
LOOK_EVERY_S = 0.01

signal.alarm(LIFETIME_S)
folder = Path(sys.argv[1])
begin: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
repo: str = begin["job"]["repo"]
files: list[dict[str, Any]] = begin["job"]["files"]


def note(what: str, **more: object) -> None:
    line = json.dumps({"repo": repo, "pid": os.getpid(), "what": what, **more})
    with (folder / "record").open("a") as record:
        record.write(line + "\n")


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def be_at(here: int, state: str = "fetching", remark: str | None = None) -> None:
    shown = [
        {"path": f["path"], "size_bytes": f["size_bytes"], "here_bytes": here, "state": state}
        for f in files
    ]
    say(progress={"files": shown, "note": remark})


def listen() -> None:
    for line in sys.stdin.buffer:
        note("pace", **json.loads(line))
    os._exit(1)


def until_go() -> None:
    while not (folder / "go").exists():
        time.sleep(LOOK_EVERY_S)


note("begin", bytes_per_s=begin["bytes_per_s"], connections=begin["connections"])
does = repo.partition("/")[2].partition("-")[0]
if does != "deaf":
    threading.Thread(target=listen, daemon=True).start()
match does:
    case "waits":
        be_at(10, remark="it takes its time")
        until_go()
        say(done=True)
    case "moves":
        here = 0
        while not (folder / "go").exists():
            be_at(here := here + 1000)
            time.sleep(LOOK_EVERY_S)
        say(done=True)
    case "dies":
        if not (folder / "go").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        say(done=True)
    case "refused":
        if not (folder / "go").exists():
            say(failed={"code": "no_space", "what": "Full.", "why": "it is", "fix": "empty it"})
            time.sleep(LIFETIME_S)  # its end is not waited for
        say(done=True)
    case "cut":
        be_at(10)
        be_at(20)
        say(failed={"code": "no_network", "what": "Gone.", "why": "it is", "fix": "wait"})
    case "exits":
        os._exit(3)
    case "babbles":
        sys.stdout.buffer.write(b"a library's word\n\xff\xfe\n")
        sys.stdout.buffer.flush()
        say(done=True)
    case "deaf":  # does not notice that its input ends
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        be_at(10)
        time.sleep(LIFETIME_S)
    case "shuts":
        os.close(1)
        os._exit(0)
    case other:
        raise ValueError(other)
note("end")
