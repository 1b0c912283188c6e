"""What somebody who has nothing yet may begin with. Pure."""

from __future__ import annotations

from localllm.api.chosen import chosen
from localllm.api.views import PlanView
from localllm.tui.choices import Choice, choice_of

_THREE = 3
_QUICK = 3
"""Of what comes quickly there is no more to fetch than this part of the best."""


def best_three(chat: PlanView, code: PlanView | None) -> tuple[tuple[str, Choice], ...]:
    """For who has nothing yet: what is best, what is here, what comes quickly; each with why it is here."""
    fitting = [choice_of(one, chat) for one in chat.candidates if one.verdict == "fits"]
    best = _choice_of(chat)
    found = [("best for chat", best), ("best for code", None if code is None else _choice_of(code))]
    if best is not None and best in fitting:
        fitting.remove(best)
    here = [one for one in fitting if one.on_disk]
    found.append(("on this disk already", max(here, key=_size, default=None)))
    most = _size(best) // _QUICK if best is not None else 0
    quick = [one for one in fitting if not one.on_disk and 0 < _size(one) <= most]
    found.append(("quick to fetch", max(quick, key=_size, default=None)))
    found += [("fits this machine", one) for one in sorted(fitting, key=_size, reverse=True)]
    first = dict[str, tuple[str, Choice]]()
    for label, one in found:
        if one is not None:
            first.setdefault(one.key, (label, one))
    return tuple(first.values())[:_THREE]


def _choice_of(plan: PlanView) -> Choice | None:
    one = chosen(plan)
    return None if one is None else choice_of(one, plan)


def _size(choice: Choice) -> int:
    return choice.fetch_bytes or 0
