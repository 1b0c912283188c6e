"""What a worker takes as a request for scores, and how it writes them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from localllm.engines.workers.http import Refusal
from localllm.engines.workers.scores import score_entry, score_request

GOOD: dict[str, Any] = {"tokens": [1, 2, 3], "from": 1, "top": 5}


def read(**more: Any) -> Any:
    return score_request({**GOOD, **more}, vocabulary=10, context=4)


def test_a_request_names_tokens_and_the_first_that_counts() -> None:
    asked = read()

    assert (asked.tokens, asked.start, asked.top) == ([1, 2, 3], 1, 5)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"from": 0}, "from"),
        ({"from": 3}, "from"),
        ({"top": -1}, "top"),
        ({"top": 1000}, "top"),
        ({"tokens": [1, 10]}, "below 10"),
        ({"tokens": [1, -1]}, "below 10"),
        ({"tokens": "abc"}, "array"),
        ({"tokens": [1, 2, 3, 4, 5]}, "exceeds"),
    ],
)
def test_what_cannot_be_scored_is_refused(more: dict[str, Any], word: str) -> None:
    with pytest.raises(Refusal, match=word):
        read(**more)


def test_what_is_no_number_is_written_as_null() -> None:
    entry = score_entry(3, math.nan, [(3, math.nan), (4, -1.0), (5, -math.inf)])

    assert json.dumps(entry) == "[3, null, [[4, -1.0]]]"
