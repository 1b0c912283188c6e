"""Whatever is asked: a chat that templates take, or a refusal that names what is wrong."""

from __future__ import annotations

import copy
import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import BadRequest
from tests.unit.gateway.translate.responses_oracle import observe
from tests.unit.gateway.translate.responses_talk import answered, delta, translate
from tests.unit.gateway.translate.test_responses_request import CONVERSATIONS, FIELDS
from tests.unit.gateway.translate.test_responses_tools import CHOICES, PATCH, READ, namespace

ITEMS = [item for items, _ in CONVERSATIONS.values() if isinstance(items, list) for item in items]
TOOLS = [READ, PATCH, namespace("fs", "list"), namespace("web", "list"), {"type": "web_search"}]
WHOLE = {
    "input": ITEMS,
    "tools": TOOLS,
    "tool_choice": CHOICES["some"][0],
    **{name: value for asked, _ in FIELDS.values() for name, value in asked.items()},
}


@settings(max_examples=100, deadline=None)
@given(items=st.lists(st.sampled_from(ITEMS), max_size=12))
def test_roles_take_turns_and_a_system_message_is_first_in_any_conversation(
    items: list[Any],
) -> None:
    chat: Any = translate(input=[*items, {"role": "user", "content": "hi"}]).chat
    roles = [message["role"] for message in chat["messages"]]

    assert "system" not in roles[1:]
    assert all(a != b or a == "tool" for a, b in itertools.pairwise(roles))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(*path, key) for key, _ in inner]
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(child, dict | list):
            found += places(child, (*path, key))
    return found


PLACES = places(WHOLE)
NONSENSE: list[Any] = [None, True, -1, 0.5, "", "zzz", [], {}, [None], [[]], {"type": 7}, [{}]]


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(NONSENSE))
def test_one_value_that_is_wrong_is_refused_or_harmless(place: tuple[Any, ...], value: Any) -> None:
    asked: Any = copy.deepcopy(WHOLE)
    inner = asked
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value

    named = {place[0], "tool_choice"}  # which may be wrong because the tools are
    try:
        translated = translate(**asked)
    except BadRequest as error:
        refused = error
    else:
        assert observe(answered(translated, delta(content="x"))).text() == "x"
        return
    assert re.split(r"[.\[]", refused.param or "")[0] in named
