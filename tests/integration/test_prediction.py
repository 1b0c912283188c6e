"""What we predict against what the real engine logs when it loads the same file."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from localllm.events import DeviceId
from localllm.fit.decide import plan
from localllm.fit.plan import Budget, Memory, Verdict, Wish
from localllm.formats.gguf import parse_gguf
from tests.smollm2 import smollm2

MIB = 1 << 20
PRINTED = 0.005 * MIB
"""The log has two decimals, of MiB."""

SIZE = re.compile(r"(model|KV|output|compute) buffer size\s*=\s*([\d.]+) MiB")
LOADED = "server is up"

ENGINE = f"""
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], [sys.argv[2]], 0
params.n_ctx, params.n_parallel = int(sys.argv[3]), int(sys.argv[4])
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
params.kv_unified, params.fit_params, params.warmup, params.ui = True, False, False, False
params.n_ubatch, params.cpuparams.n_threads, params.verbosity = 512, 1, 4
server = xllamacpp.Server(params)
print({LOADED!r}, flush=True)
os._exit(0)
"""


def predicted(context: int, parallel: int) -> Memory:
    header = parse_gguf(smollm2().read_bytes(), file_bytes=smollm2().stat().st_size)
    host = Budget(DeviceId("cpu"), "the host", 8 << 30, None, is_host=True)
    decided = plan(header, [host], Wish(context=context, parallel=parallel))
    assert decided.verdict is Verdict.FITS
    return decided.memory


def logged(context: int, parallel: int, folder: Path) -> Counter[str]:
    """Load the model for real and sum up what the engine says it allocated, in bytes."""
    asked = [str(smollm2()), str(folder / "e.sock"), str(context), str(parallel)]
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert LOADED in done.stdout, done.stdout[-2000:]
    sizes: Counter[str] = Counter()
    for kind, mib in SIZE.findall(done.stdout):
        sizes[kind] += round(float(mib) * MIB)
    return sizes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("context", [2048, 8192])
def test_the_plan_is_never_below_the_engine_and_within_2_percent(
    context: int, parallel: int, tmp_path: Path
) -> None:
    memory = predicted(context, parallel)

    log = logged(context, parallel, tmp_path)

    assert memory.weights >= log["model"] - PRINTED
    assert memory.kv_cache >= log["KV"] - PRINTED
    assert memory.compute >= log["compute"] - PRINTED
    assert memory.output >= log["output"] - PRINTED
    assert memory.total <= 1.02 * log.total()
