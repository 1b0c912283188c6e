"""`localllm gc`: what nobody needs goes from this disk."""

from __future__ import annotations

import math
import re

import click
import msgspec

from localllm.api.store_views import TidyRequest
from localllm.cli.conventions import here, json_option, print_document, say
from localllm.cli.housekeeping import agree, tidy
from localllm.cli.render_store import render_removed
from localllm.units import parse_duration

_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _an_age(_context: click.Context, _option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return None if math.isinf(seconds) else seconds


def _a_size(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter("a size is 500M, 100G or 1.5T")
    return int(float(found[1]) * 1024 ** _POWERS[found[2].lower()])


@click.command("gc")
@click.option("--older-than", callback=_an_age, help="Also models not used for so long, as in 30d.")
@click.option(
    "--max-size",
    callback=_a_size,
    help="Also the models not used for longest, until the others take no more, as in 100G.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def command(
    *, older_than: float | None, max_size: int | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Remove what is left over: half files, broken links, contents that nothing refers to.

    Half files stay for a day after they were last written to, or for as long as --older-than says if
    that is less. Models go only by --older-than and --max-size. What would go is shown first, and
    asked about.
    """
    paths = here()
    request = TidyRequest(older_than=older_than, max_size=max_size, dry_run=True)
    view = tidy(paths, request)
    if dry_run or not view.removed:
        print_document(view, render_removed(view, dry_run=True), as_json=as_json)
        return
    say("\n".join(render_removed(view, dry_run=True)))
    agree("remove all of it?", "the same with", yes=yes)
    view = tidy(paths, msgspec.structs.replace(request, dry_run=False))
    print_document(view, render_removed(view), as_json=as_json)
