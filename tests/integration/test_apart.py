"""Planning in another process gives what planning here would, or says why there is nothing."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest

from localllm.errors import LocalLLMError, ModelNotFound
from localllm.planning.apart import apart
from localllm.store.local import find_model

pytestmark = pytest.mark.anyio


async def test_what_comes_of_it_is_passed_back() -> None:
    assert await apart(os.getpid) != os.getpid()
    assert await apart(partial(sorted, (3, 1, 2), reverse=True)) == [3, 2, 1]


async def test_an_expected_error_is_raised_as_it_was(tmp_path: Path) -> None:
    find = partial(find_model, "no-such-model", (), tmp_path, {})
    with pytest.raises(ModelNotFound) as here:
        find()
    with pytest.raises(ModelNotFound) as there:
        await apart(find)
    assert str(there.value) == str(here.value)


async def test_an_unexpected_error_is_told_in_its_words() -> None:
    with pytest.raises(RuntimeError, match="JSONDecodeError: Expecting value"):
        await apart(partial(json.loads, "["))


async def test_a_process_that_is_killed_is_an_error_that_names_the_signal() -> None:
    with pytest.raises(LocalLLMError, match=r"killed by signal 6") as raised:
        await apart(os.abort)
    assert "localllm logs daemon" in raised.value.fix


async def test_what_a_library_prints_is_no_part_of_the_answer() -> None:
    assert await apart(partial(print, "a warning on standard output")) is None


async def test_cancelling_ends_the_process() -> None:
    me = psutil.Process()
    with anyio.move_on_after(1):
        await apart(partial(time.sleep, 60))
    assert not [c for c in me.children(recursive=True) if apart.__module__ in " ".join(c.cmdline())]
