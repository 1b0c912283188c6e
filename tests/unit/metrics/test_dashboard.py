"""The dashboard asks for what `/metrics` has, and shows what counts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from localllm.events import ModelState
from localllm.metrics import names
from localllm.metrics.names import Kind
from localllm.paths import bundled_profiles
from tests.unit.metrics.test_prometheus import Scraped, turned

BOARD: dict[str, Any] = json.loads((bundled_profiles() / "grafana" / "localllm.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
NAMED = re.compile(r"\b(?:localllm|process)_[a-z0-9_]+")
SELECTED = re.compile(r"((?:localllm|process)_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"sum by \(([^)]*)\) \(\w+\(((?:localllm|process)_[a-z0-9_]+)\{")
PROMETHEUS_OWN = {"instance", "job"}
NOT_DRAWN = {names.INSTANCE, names.DEVICE}
"""What joins others with names; the one feeds the list of models."""


def expressions() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def labels_by_sample() -> dict[str, set[str]]:
    """Of every series of a daemon that has done something, by its name."""
    world = Scraped()
    world.answered()
    world.counters.saw(turned("m", ModelState.WARMING, ModelState.READY))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(world.exposition.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


HAS = labels_by_sample()


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for expression in expressions() for name in NAMED.findall(expression)}
    if sys.platform != "linux":
        asked = {name for name in asked if not name.startswith("process_")}

    assert asked - HAS.keys() == set()


def test_every_label_that_is_asked_for_exists() -> None:
    wrong = []
    for expression in expressions():
        for name, selectors in SELECTED.findall(expression):
            asked = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)"', selectors))
            wrong += [(name, label) for label in asked - HAS.get(name, set()) - PROMETHEUS_OWN]
        for labels, name in GROUPED.findall(expression):
            asked = {label.strip() for label in labels.split(",")}
            wrong += [(name, label) for label in asked - HAS.get(name, set()) - PROMETHEUS_OWN]
    assert wrong == []


def test_every_label_of_a_legend_is_one_that_the_query_leaves() -> None:
    wrong = []
    for panel in PANELS:
        for target in panel.get("targets", ()):
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = GROUPED.search(target["expr"])
            if grouped:
                left = {label.strip() for label in grouped[1].split(",")}
            else:
                left = HAS.get(NAMED.findall(target["expr"])[0], set()) | PROMETHEUS_OWN
            wrong += [(panel["title"], label) for label in legend - left]
    assert wrong == []


def test_every_metric_of_ours_is_shown() -> None:
    asked = "\n".join(expressions())
    shown = {m for m in names.METRICS if re.search(rf"\b{m.name}(?:_bucket)?\b", asked)}

    assert set(names.METRICS) - shown - NOT_DRAWN == set()


def test_counters_and_histograms_are_shown_as_rates_only() -> None:
    growing = [m for m in names.METRICS if m.kind is not Kind.GAUGE]
    raw = [
        (metric.name, expression)
        for expression in expressions()
        for metric in growing
        for found in re.finditer(rf"\b{metric.name}(?:_bucket|_sum|_count)?\{{", expression)
        if not expression[: found.start()].endswith(("rate(", "increase("))
    ]

    assert raw == []


def test_rates_follow_the_scrape_interval() -> None:
    for expression in expressions():
        windows = re.findall(r"\[([^\]]*)\]", expression)
        assert set(windows) <= {"$__rate_interval"}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_has_its_brackets_in_order(expression: str) -> None:
    closing, opened = {")": "(", "]": "[", "}": "{"}, []
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in closing.values():
            opened.append(character)
        elif character in closing:
            assert opened.pop() == closing[character]
    assert opened == []


def test_the_user_chooses_the_data_source_daemon_and_model() -> None:
    variables = {variable["name"]: variable["type"] for variable in BOARD["templating"]["list"]}
    sources = {
        json.dumps(part["datasource"])
        for panel in PANELS
        if panel["type"] != "row"
        for part in (panel, *panel["targets"])
    }

    assert variables == {"datasource": "datasource", "daemon": "query", "model": "query"}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def test_panels_have_a_place_of_their_own() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    overlaps = [
        (a, b)
        for a, b in combinations(places, 2)
        if a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    ]

    assert overlaps == []
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_rows_are_what_one_looks_for() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]

    assert rows == [
        *("Now", "Requests", "Latency", "Tokens", "Cache and models", "Memory", "Devices"),
    ]
