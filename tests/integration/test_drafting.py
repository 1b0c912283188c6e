"""Through the gateway: only a model with a draft is asked to leave it, and only for bound answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localllm.daemon.running import has_uvloop
from localllm.fit.plan import Draft
from localllm.planning.companions import NO_COMPANIONS, Companions
from tests.fakes.house import a_house, a_plan, asking

pytestmark = pytest.mark.anyio
BOUND = {"response_format": {"type": "json_object"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": has_uvloop()}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("companions", "more", "added"),
    [
        (Companions(draft=Draft(3)), BOUND, {"speculative.n_max": 0}),
        (Companions(draft=Draft(3)), {}, {}),
        (NO_COMPANIONS, BOUND, {}),
    ],
    ids=["bound and drafted", "drafted", "bound"],
)
async def test_a_bound_answer_of_a_drafted_model_is_asked_for_without_the_draft(
    companions: Companions,
    more: dict[str, Any],
    added: dict[str, Any],
    stream: bool,
    tmp_path: Path,
) -> None:
    asked = {**asking(), "stream": stream, **more}
    async with a_house(tmp_path) as house:
        await house.ready(replace(a_plan(), companions=companions))

        status, _, _ = await house.ask(asked)

        assert status == 200
        assert [json.loads(chat["body"]) for chat in house.chats()] == [{**asked, **added}]
