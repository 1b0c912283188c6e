"""How a prefix that breaks is mended, where that is known. Pure."""

from __future__ import annotations

from localllm.prefix.differing import Kind
from localllm.prefix.parting import Parting

_BILLING = ("x-anthropic-billing-header", "cc_version=", "cch=")
_CHANGED = {
    Kind.DATE: "a date",
    Kind.TIME: "a time",
    Kind.ID: "an id",
    Kind.COUNTER: "a number",
}
_WHAT = {**_CHANGED, Kind.ORDER: "the order", Kind.TEXT: "a text"}
_SETTINGS = frozenset({"chat_template_kwargs", "reasoning_effort"})


def describe(parting: Parting) -> str:
    """Say in one sentence where it is, and what was and is there."""
    if parting.tokens is None:
        at = f"byte {parting.offset_bytes}"
    else:
        at = f"token {parting.tokens}" + ("" if parting.is_exact else " (about)")
    was, became = _quoted(parting.before), _quoted(parting.now)
    what = f"{_WHAT[parting.kind]} in {parting.part}"
    return f"the prefix differs at {at}: {what}, before {was}, now {became}"


def fix_of(parting: Parting) -> str:
    """Say what can be done about it."""
    if any(word in parting.before or word in parting.now for word in _BILLING):
        return (
            "leave [prefix] remove_billing_header = true in config.toml, or have Claude Code leave "
            "the line out: CLAUDE_CODE_ATTRIBUTION_HEADER=0, which localllm connect claude-code "
            "--write sets"
        )
    if parting.part == "tools":
        return _fix_of_tools(parting.kind)
    if parting.part in _SETTINGS:
        return "have the agent ask for one way to think, for as long as a conversation lasts"
    if parting.kind in _CHANGED:
        return _fix_of_changing(_CHANGED[parting.kind], parting)
    if "(system)" in parting.part or "(developer)" in parting.part:
        return "look which rule, memory or plugin of the agent writes there, and have it come last"
    return (
        "the agent changes what was said before: look whether it can leave its history as it is, "
        "and cut it seldom and much rather than a little with each turn"
    )


def _fix_of_tools(kind: Kind) -> str:
    if kind is Kind.ORDER:
        return (
            "the agent or one of its MCP servers lists its tools in another order each time: "
            "update or leave out the server whose tools moved"
        )
    return (
        "an MCP server came, went or describes its tools anew: have all of them start before the "
        "first turn, and leave out those that are not used"
    )


def _fix_of_changing(what: str, parting: Parting) -> str:
    later = "say it in the newest message, or not at all"
    if parting.kind is Kind.TIME:
        later = f"say the day alone, or {later}"
    return f"find whose template, rule or plugin writes {what} there, and have it {later}"


def _quoted(text: str) -> str:
    return f'"{text}"'
