"""llama-cpp-python for the tests, which has no wheel and takes a compiler."""

from __future__ import annotations

import importlib.util
import shutil

import pytest


def require_llama_cpp_python() -> None:
    """Fail where it should be here, and skip, saying why, where it cannot be: without a compiler."""
    if importlib.util.find_spec("llama_cpp") is not None:
        return
    if shutil.which("c++") is None:
        pytest.skip(
            "NOT TESTED: llama-cpp-python is compiled for these tests, and there is no C++ "
            "compiler (Debian: apt install g++)"
        )
    pytest.fail("llama-cpp-python is missing: scripts/test compiles and installs it")
