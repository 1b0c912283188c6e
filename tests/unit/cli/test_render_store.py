"""The store as people read it."""

from __future__ import annotations

import pytest

from localllm.api.pull_views import PullErrorView
from localllm.api.store_views import CheckedView, RemovedView, VerifiedView
from localllm.cli.render_store import (
    ago,
    render_pulls,
    render_removed,
    render_store,
    render_verified,
)
from tests.unit.cli.a_pull import GIB, a_leftover, a_model, a_pull, a_store

NOW = 10 * 86_400.0


def test_a_model_has_its_quantization_its_size_its_place_when_it_was_used_and_whether_it_fits() -> (
    None
):
    store = a_store(
        a_model(served=True, last_used=NOW - 2 * 86_400),
        a_model("o", quant=None, where="ollama", last_used=None, verdict=None),
        a_model("p", where="lmstudio", verdict="fits_partly"),
        a_model("q", where="package", verdict="too_big"),
    )

    head, m, o, p, q, _, total = render_store(store, NOW, fit=True)

    assert head.split() == ["model", "quant", "size", "where", "last", "used", "now"]
    assert m == "*  m:Q4_K_M  Q4_K_M  4.0 GiB  Hugging Face    2 d ago  fits"
    assert o == "   o         -       4.0 GiB  Ollama        -          unknown"
    assert (p.split()[-2:], q.split()[-2:]) == (["fits", "partly"], ["too", "big"])
    assert total == "4 models, 16.0 GiB; 100.0 GiB free in /cache; * is served"


def test_without_plans_there_is_no_word_of_what_fits() -> None:
    head, row, *_ = render_store(a_store(a_model()), NOW, fit=False)

    assert "now" not in head
    assert "fits" not in row


def test_a_model_that_lacks_a_file_says_how_to_get_it() -> None:
    lines = render_store(a_store(a_model(missing=["a", "b"])), NOW, fit=True)

    assert lines[1].endswith("incomplete")
    assert lines[2] == (
        "  m:Q4_K_M: a and 1 more is missing; localllm pull m:Q4_K_M fetches what lacks"
    )


def test_an_empty_store_says_how_to_fill_it() -> None:
    assert render_store(a_store(), NOW, fit=True) == [
        "no model is on this disk; localllm pull MODEL fetches one"
    ]


def test_leftovers_are_counted_and_the_verb_that_removes_them_is_named() -> None:
    left = [a_leftover("half"), a_leftover("half"), a_leftover("broken_link", 0)]
    busy = a_leftover("incomplete", in_use=True)

    lines = render_store(a_store(a_model(), leftovers=[*left, busy]), NOW, fit=True)

    assert lines[-1] == (
        "left over: 2 half files of pulls, 1 broken link (2.0 GiB); "
        "localllm gc removes what nobody needs"
    )
    assert "left over" not in str(render_store(a_store(leftovers=[busy]), NOW, fit=True))


@pytest.mark.parametrize(
    ("past_s", "said"),
    [
        (-5, "just now"),
        (59, "just now"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (2 * 86_400, "2 d ago"),
        (400 * 86_400, "1 y ago"),
    ],
)
def test_when_something_was_has_one_unit(past_s: float, said: str) -> None:
    assert ago(NOW - past_s, NOW) == said


def test_what_is_removed_is_named_with_what_it_frees_and_why_something_stays() -> None:
    view = RemovedView(removed=["m", "/cache/x"], freed=GIB, kept=["y is in use"])

    assert render_removed(view) == [
        "removed:",
        "  m",
        "  /cache/x",
        "freed 1.0 GiB",
        "kept: y is in use",
    ]
    assert render_removed(view, dry_run=True)[0] == "would be removed:"
    nothing = RemovedView(removed=[], freed=0, kept=[])
    assert render_removed(nothing) == ["there is nothing to remove"]


def test_what_is_damaged_is_named_and_how_to_mend_it() -> None:
    def checked(outcome: str, path: str) -> CheckedView:
        why = "other bytes" if outcome == "damaged" else None
        return CheckedView(model="m", path=path, size=GIB, outcome=outcome, why=why)  # type: ignore[arg-type]

    files = [checked("good", "a"), checked("damaged", "b"), checked("unknown", "c")]

    assert render_verified(VerifiedView(files=files)) == [
        "damaged: b of m: other bytes",
        "not checked: c of m",
        "1 file is what the hub has (1.0 GiB)",
        "next: localllm pull m",
    ]
    assert render_verified(VerifiedView(files=[])) == ["there is nothing to check"]


def test_pulls_have_a_row_each_and_what_stands_in_their_way() -> None:
    error = PullErrorView(message="No room.\n  why: full\n  fix: rm", code="no_space")
    pulls = [a_pull(note="busy"), a_pull(model="n", state="failed", speed=None, error=error)]

    lines = render_pulls(pulls)

    assert lines[1].split() == [
        "p1",
        "m:Q4_K_M",
        "fetching",
        "25%",
        "4.0",
        "GiB",
        "50.0",
        "MiB/s",
        "1",
        "min",
        "1",
        "s",
    ]
    assert lines[3:] == ["  m:Q4_K_M: busy", "  n: No room."]
    assert render_pulls([]) == ["nothing is under way; localllm pull MODEL begins"]


def test_names_of_others_cannot_steer_the_terminal() -> None:
    odd = "m\x1b[2J\r\u202e"
    store = a_store(a_model(odd, quant=odd, missing=[odd]))
    lines = [
        *render_store(store, NOW, fit=True),
        *render_removed(RemovedView(removed=[odd], freed=0, kept=[odd])),
        *render_pulls([a_pull(model=odd, note=odd)]),
    ]

    assert all(line.isprintable() for line in lines)
