#!/usr/bin/env python3
"""A stand-in for llama.cpp's CUDA build: `fake_engine.py`, on as many cards as it is shown.

Like the real one it loads NVIDIA's libraries at run time, and without them it lists no device, says
why on standard error, and goes on. Its cards have a driver and a generation, by the environment:

    LOCALLLM_TEST_CUDA_FAILS   what it says when it computes, instead of an answer
"""

# ruff: noqa: T201
from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import fake_engine

HELP = fake_engine.HELP + "--device D  --gpu-layers N  --tensor-split T  --split-mode M  --fit V\n"


def main() -> None:
    words = sys.argv[1:]
    if words == ["--help"]:
        print(HELP)
    elif words == ["--list-devices"]:
        list_devices()
    elif words == ["--version"]:
        print("version: 11146 (fake)")
    else:
        serve(words)


def cards() -> int:
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if not any((Path(folder) / "libcudart.so.12").exists() for folder in folders if folder):
        print(
            "ggml_backend_load: failed to load libggml-cuda.so: libcudart.so.12: cannot open "
            "shared object file: No such file or directory",
            file=sys.stderr,
        )
        return 0
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return len([uuid for uuid in shown.split(",") if uuid])


def list_devices() -> None:
    print("Available devices:")
    for number in range(cards()):
        print(f"  CUDA{number}: A card of NVIDIA's (32607 MiB, 32000 MiB free)")


def serve(words: list[str]) -> None:
    failure = os.environ.get("LOCALLLM_TEST_CUDA_FAILS")
    devices = after(words, "--device").split(",")
    if failure is not None and devices != ["none"]:
        print(failure, file=sys.stderr)
        os.abort()
    layers = after(words, "--gpu-layers")
    for name in devices if cards() else []:
        print(f"load_tensors:        {name} model buffer size =     1.00 MiB")
    told = f"{layers}/{layers}" if cards() else f"0/{layers}"
    sys.argv[1:] = [*words, "--fake-layers", told]
    fake_engine.main()


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1] if flag in words else "0"


if __name__ == "__main__":
    main()
