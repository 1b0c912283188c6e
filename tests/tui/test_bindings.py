"""The keys of all screens and widgets, as help, footer and palette name them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter

import pytest
from textual.binding import Binding
from textual.dom import DOMNode

import localllm.tui


def classes() -> list[type[DOMNode]]:
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(localllm.tui.__path__, "localllm.tui.")
    ]
    found = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, DOMNode)
    }
    return sorted((kind for kind in found if "BINDINGS" in vars(kind)), key=lambda k: k.__name__)


def bindings(kind: type[DOMNode]) -> list[Binding]:
    own = vars(kind)["BINDINGS"]
    return [one if isinstance(one, Binding) else Binding(*one) for one in own]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_each_key_says_what_it_does_and_why(kind: type[DOMNode]) -> None:
    lacking = [
        one.key for one in bindings(kind) if not (one.id and one.description and one.tooltip)
    ]

    assert lacking == []


def test_no_two_keys_have_the_same_id() -> None:
    counted = Counter(one.id for kind in classes() for one in bindings(kind))

    assert len(counted) > 30
    assert [name for name, count in counted.items() if count > 1] == []
