"""A scripted daemon as a process of its own, for scripts/bench_screen: it costs the screen's processor nothing.

python scripts/bench_screen_daemon.py FOLDER gets a word a line on its standard input, does it, and
answers with a line of JSON: {"at": the monotonic time at which it was done, or was asked about}.

  idle, busy    nobody asks; or twelve requests, each with other figures at every look
  flood, calm   the model's log grows by 1,000 lines a second; or not at all
  stop, start   nobody answers; or there is a daemon, with another port and another token
  first         when the first look of a screen since `start` was answered
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from localllm.api.now_views import NowView  # noqa: E402
from localllm.api.request_views import RequestView  # noqa: E402
from tests.fakes import scenes  # noqa: E402
from tests.fakes.scene import Scene  # noqa: E402
from tests.fakes.scripted_daemon import ScriptedDaemon  # noqa: E402

MODEL = "qwen3-32b"
LINES_PER_S = 1_000
_TPS = 29.0


@dataclass
class Machine(Scene):
    """One that remembers when it was first looked at, and whose requests go on."""

    first_at: float | None = None

    def now(self, recent: int) -> NowView:
        self.live = [_further(one, self.clock()) for one in self.live]
        if self.live:
            spent = sum(one.generated_tokens for one in self.live)
            self.change(MODEL, generated=48_213 + spent, kv_used=0.4 + spent % 97 / 400)
        view = super().now(recent)
        if self.first_at is None:
            self.first_at = time.monotonic()  # before it is sent: nothing is left out
        return view


def _further(one: RequestView, now: float) -> RequestView:
    """Elapsed and generated tokens of every one change with every look."""
    elapsed = now - one.began_at
    tokens = one.generated_tokens
    if one.phase == "generating":
        tokens = int(elapsed * _TPS)
    return msgspec.structs.replace(one, elapsed=elapsed, generated_tokens=tokens)


def machine() -> Machine:
    scene = scenes.rtx5090()
    made = Machine(**{one.name: getattr(scene, one.name) for one in fields(Scene) if one.init})
    made.live = []
    made.logs = {MODEL: []}
    return made


def twelve(now: float) -> list[RequestView]:
    """In every phase, as a scene has them; they began a moment ago."""
    busy = scenes.busy().live
    return [
        msgspec.structs.replace(one, began_at=now - place, model=MODEL)
        for place, one in enumerate(busy)
    ]


def main() -> None:
    scene = machine()
    daemon = ScriptedDaemon(scene, Path(sys.argv[1]))
    with daemon, ExitStack() as flood:
        for line in sys.stdin:
            match line.strip():
                case "idle":
                    scene.live = []
                case "busy":
                    scene.live = twelve(scene.clock())
                case "flood":
                    flood.enter_context(daemon.flooding(MODEL, LINES_PER_S))
                case "calm":
                    flood.close()
                case "stop":
                    daemon.stop()
                case "start":
                    scene.first_at = None
                    daemon.start()
                case "first":
                    print(json.dumps({"at": scene.first_at}), flush=True)
                    continue
                case word:
                    raise ValueError(word)
            print(json.dumps({"at": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main()
