"""The tools that the bench is compared with: each asks an address, and computes its figures by itself."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from own_daemon import MODEL

TOKENS = 32
"""Of each answer."""

_LIMIT_S = 300.0
_EXTRA = {"temperature": 0, "ignore_eos": True}


@dataclass(frozen=True, slots=True)
class Tool:
    """Another way to measure.

    Args:
        run: Asks a port each text, so many at once, and gives its figures of all but the first
            `at_once`; times in ms.
    """

    name: str
    run: Callable[[int, Sequence[str], int], dict[str, float]]


def openai_client() -> Tool:
    """The official client in a process of its own, with a stopwatch."""
    return Tool("openai", _by_openai)


def _by_openai(port: int, texts: Sequence[str], at_once: int) -> dict[str, float]:
    asked = json.dumps({"port": port, "texts": texts, "at_once": at_once})
    done = subprocess.run(
        [sys.executable, __file__],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@dataclass(frozen=True, slots=True)
class _Timed:
    begun: float
    first: float
    last: float
    ended: float
    prompt_tokens: int
    tokens: int


def stopwatch(port: int, texts: Sequence[str], at_once: int) -> dict[str, float]:
    """Ask with the openai client, note when chunks come, and sum up with plain arithmetic."""
    import openai  # noqa: PLC0415  # here alone, in the process that asks

    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)

    def ask(text: str) -> _Timed:
        begun = time.perf_counter()
        moments: list[float] = []
        prompt = tokens = 0
        for chunk in client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": text}],
            max_tokens=TOKENS,
            temperature=0,
            extra_body={"ignore_eos": True},
            stream=True,
            stream_options={"include_usage": True},
        ):
            if chunk.choices and chunk.choices[0].delta.content:
                moments.append(time.perf_counter())
            if chunk.usage is not None:
                prompt, tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        return _Timed(begun, moments[0], moments[-1], time.perf_counter(), prompt, tokens)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(ask, texts[:at_once]))
        timed = list(pool.map(ask, texts[at_once:]))
    return _summed(timed)


def _summed(timed: Sequence[_Timed]) -> dict[str, float]:
    took_s = max(one.ended for one in timed) - min(one.begun for one in timed)
    gaps = [(one.last - one.first) / (one.tokens - 1) for one in timed]
    return {
        "time to first token": 1e3 * statistics.fmean(one.first - one.begun for one in timed),
        "inter-token latency": 1e3 * statistics.fmean(gaps),
        "request latency": 1e3 * statistics.fmean(one.ended - one.begun for one in timed),
        "output tokens per second": sum(one.tokens for one in timed) / took_s,
        "output tokens": float(sum(one.tokens for one in timed)),
        "prompt tokens": float(sum(one.prompt_tokens for one in timed)),
    }


def aiperf(program: Path, folder: Path) -> Tool:
    """NVIDIA's aiperf (0.13), in whatever environment it was installed.

    Args:
        folder: For what it writes.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    tokenizer: Path = import_module("tests.mlx_smollm2").mlx_smollm2()  # it wants one of its own

    def run(port: int, texts: Sequence[str], at_once: int) -> dict[str, float]:
        place = Path(tempfile.mkdtemp(dir=folder))
        asked = place / "asked.jsonl"
        asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        command = [
            *(str(program), "profile", "-m", MODEL, "--url", f"http://127.0.0.1:{port}"),
            *("--endpoint-type", "chat", "--streaming", "--use-server-token-count"),
            *("--input-file", str(asked), "--custom-dataset-type", "single_turn"),
            *("--dataset-sampling-strategy", "sequential", "--tokenizer", str(tokenizer)),
            *("--concurrency", str(at_once), "--warmup-request-count", str(at_once)),
            *("--request-count", str(len(texts) - at_once), "--ui", "none"),
            *("--extra-inputs", json.dumps({"max_tokens": TOKENS, **_EXTRA})),
            *("--artifact-dir", str(place / "out")),
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        found = [*(place / "out").rglob("profile_export_aiperf.json")]
        if done.returncode != 0 or not found:
            raise RuntimeError(f"aiperf failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return _of_aiperf(json.loads((place / "out" / "profile_export_aiperf.json").read_text()))

    return Tool("aiperf", run)


def _of_aiperf(said: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        "time to first token": said["time_to_first_token"]["avg"],
        "inter-token latency": said["inter_token_latency"]["avg"],
        "request latency": said["request_latency"]["avg"],
        "output tokens per second": said["output_token_throughput"]["avg"],
        "output tokens": said["total_usage_completion_tokens"]["avg"],
        "prompt tokens": said["total_usage_prompt_tokens"]["avg"],
    }


if __name__ == "__main__":
    print(json.dumps(stopwatch(**json.load(sys.stdin))))
