"""`localllm cost`: what tokens cost here, and would cost elsewhere; with or without a daemon."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localllm.cli.conventions import here, json_option, print_document

if TYPE_CHECKING:  # heavy
    from localllm.api.usage_views import By, UsageView
    from localllm.config.prices import Cost

_MOST_DAYS = 3_660


@click.command("cost")
@click.option("--days", type=click.IntRange(1, _MOST_DAYS), help="The last N days; by itself 30.")
@click.option("--from", "first", metavar="DAY", help="The first day, as in 2026-11-29 (UTC).")
@click.option("--to", "last", metavar="DAY", help="The last day; by itself today.")
@click.option("--by", type=click.Choice(["day", "model", "client"]), default="day")
@json_option
def command(
    *, days: int | None, first: str | None, last: str | None, by: By, as_json: bool
) -> None:
    """Show tokens, energy and what they cost, beside what APIs would ask for the same.

    Prices are yours: in the section [cost] of config.toml. Without them, tokens and energy are shown.
    """
    from localllm.api.usage_views import UsageQuery  # noqa: PLC0415  # each verb loads its own
    from localllm.config.reading import read_settings  # noqa: PLC0415
    from localllm.errors import BadRequest  # noqa: PLC0415
    from localllm.metrics.usage import DAYS, decide_days, read_usage  # noqa: PLC0415

    if days is not None and first is not None:
        raise click.UsageError("--days and --from both say where to begin: keep one of them")
    paths = here()
    cost = read_settings(paths.config_file, os.environ).cost
    query = UsageQuery(first=_day(first), last=_day(last), by=by)
    try:
        shown = decide_days(query, time.time(), days or DAYS)
    except BadRequest as error:
        raise click.UsageError(f"{error.what[:-1]}: {error.why}; {error.fix}") from error
    usage = read_usage(paths.requests_db, shown, by, cost)
    lines = () if as_json else _lines(usage, cost, paths.config_file)
    print_document(usage, [*lines], as_json=as_json)


def _day(text: str | None) -> str | None:
    """Take a day as it is written; a wrong one is told of in one sentence.

    Raises:
        BadParameter: It is none.
    """
    from datetime import date  # noqa: PLC0415

    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no day; write it as in 2026-11-29") from error


def _lines(usage: UsageView, cost: Cost, config: Path) -> Iterator[str]:
    from localllm.cli.tables import table  # noqa: PLC0415
    from localllm.wording.charts import can_draw  # noqa: PLC0415
    from localllm.wording.cost_text import (  # noqa: PLC0415
        bar_lines,
        chart_lines,
        sentences,
        table_rows,
        title,
    )
    from localllm.wording.missing_prices import lines_for  # noqa: PLC0415

    blocks = can_draw(sys.stdout.encoding)
    yield title(usage)
    if usage.rows:
        yield from ("", *table(table_rows(usage)))
    for part in (
        [*bar_lines(usage, blocks=blocks)],
        [*sentences(usage)],
        [*chart_lines(usage, blocks=blocks)],
    ):
        yield from ("", *part) if part else ()
    wanted = lines_for(cost)
    if wanted:
        yield from ("", f"For what it costs, write your prices into {config}:", "")
        yield from (f"    {line}".rstrip() for line in wanted)
