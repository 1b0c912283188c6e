"""Takes out of text and documents what nobody else is to read: keys, names, addresses, prompts. Pure.

What is secret here is known word for word (the daemon's token, keys in the environment), so it is
found wherever it stands; what only looks like a secret is found by `metrics.redaction`. Home, user and
computer get other names, so that paths can still be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from localllm.metrics.redaction import redact_text

_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|cookie|auth(?!or)|bearer|private|signature|\bsid\b",
    re.IGNORECASE,
)
_HARMLESS_NAME = re.compile(
    r"(?:prompt|cached|generated|reasoning|first|max|total|input|output)?_?tokens\Z|kv_\w+\Z|auth\Z"
    r"|has_token\Z|first_token\Z|key_env\Z",
    re.IGNORECASE,
)
"""Members that have such a word in their names and tell of counts, or of a mode."""

_PROMPT_LINE = re.compile(
    r"""["'](?:prompt|content|messages|input|text|instructions|system|arguments|query|documents)"""
    r"""\\*["']\s*:|\bprompt(?:\s+text)?\s*[:=]\s*["'\[{<|]|<start_of_turn>|\[/?INST\]"""
    r"""|<\|(?:im_start|start_header_id|start|user|system|assistant|turn)\|?>|<\uff5cUser\uff5c>""",
    re.IGNORECASE,
)
_BEGINS_ANEW = re.compile(
    r"\d{4}-\d\d-\d\d[T ]|\d+(?:\.\d+){3} [A-Z] |(?:INFO|WARNING|ERROR|DEBUG)\b|Traceback \("
    r"|(?:llama|ggml|clip|common|print|load|init)_\w+:|(?:srv|slot|que|res|cmn|main) +\w*:"
)
"""How lines of the daemon's log and of engines' begin; after a prompt's first line any other goes on with it."""

_KEY_BEGINS, _KEY_ENDS = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY"), "-----END "
_SECRETS = re.compile(
    r"""
    (?P<name>
        (?i:\b(?:set-)?cookie["']?\s*[:=]\s*)(?=.)
        | (?i:\b(?:basic|digest)[ ]+)(?=[A-Za-z0-9+/._-]{8,}={0,2})
        | (?i:--[\w-]*(?:key|token|password|secret)[ =])
        | (?i:\b[\w-]*(?:password|passwd|passphrase|secret|api[_-]?key|token)["']?\s*[:=]\s*["']?)
            (?=[^\s"',;}\])]{6})(?!\d+\b|<)
    ) (?: (?<=ookie:[ ]).+ | (?<=ookie=).+ | [^\s"',;}\])]+ )
    | \b(?:xapp|gsk|xai|nvapi|pplx|whsec|r8|dckr_pat|dop_v1|glrt|shpat|ya29|age-secret-key)
        [-_.][A-Za-z0-9._-]{10,}
    | \bdapi[0-9a-f]{32}\b
    | \bAAAA[A-Za-z0-9+/]{40,}={0,2}
    | \bhooks\.slack\.com/\S+
    """,
    re.VERBOSE,
)
"""What stands in logs, and `metrics.redaction` does not look for, which is for requests."""

_REMOTE = re.compile(r"\b[\w.+-]+@[\w.-]+:[\w./~-]+|\b(?:ssh|git)://\S+|\bhttps?://\S+\.git\b")
_NAME = r"""[^/\\\s:;"',<>|]+"""
_SOMEBODY = re.compile(
    rf"((?:/|\b[A-Za-z]:[\\/]+)(?:home|Users)[\\/]+)(?:{_NAME}(?:[ ]{_NAME})*(?=[\\/])|{_NAME})"
)
_IPV6 = re.compile(
    r"(?<![\w:.])(?!::1(?![0-9a-f:])|::(?![0-9a-f]))"
    r"(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?=[0-9a-f:]*::)[0-9a-f:]{4,39})(?:%\w+)?(?![\w:])",
    re.IGNORECASE,
)
_ETHERNET = re.compile(r"(?<![\w:])[0-9a-f]{2}(?::[0-9a-f]{2}){5}(?![\w:])", re.IGNORECASE)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_ADDRESS = re.compile(
    rf"(?<![\d.])(?!127\.|0\.0\.0\.0){_OCTET}(?:\.{_OCTET}){{3}}(?!\d|\.\d| [DIWE] )"
)
"""No time of llama.cpp's logs, as in 0.00.001.056 I."""

_HARDWARE = re.compile(
    r"\b(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE
)
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_LONG_HEX = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b", re.IGNORECASE)
_QUERY = re.compile(r"(?<=[?&])([^\s=&#]+)=([^\s&#\"']+)")
_GONE = "<redacted>"
_HOLDS_PROMPT = "<a line that may hold a prompt>"
_PATTERNS = (
    (_REMOTE, "<remote>"),
    (_MAIL, "<mail>"),
    (_HARDWARE, "<uuid>"),
    (_ADDRESS, "<address>"),
    (_IPV6, "<address>"),
    (_ETHERNET, "<address>"),
    (_LONG_HEX, "<hash>"),
)
_KNOWN_HOST = re.compile(
    r"^[\d.]+$|(?:^|\.)(?:huggingface\.co|hf-mirror\.com|openai\.com|anthropic\.com)$"
)
_SHORTEST_SECRET, _SHORTEST_NAME = 6, 3
_LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class Anonymous:
    """What is to be taken out, word for word."""

    secrets: tuple[str, ...]
    names: Mapping[str, str]
    """From what stands in paths and sentences to what stands there instead; the longest first."""

    def text(self, text: str) -> str:
        """Take all of it out of one text, whatever its form."""
        for secret in self.secrets:
            text = text.replace(secret, _GONE)
        text = _QUERY.sub(lambda m: f"{m[1]}={_GONE}", redact_text(text))
        text = _SECRETS.sub(lambda m: f"{m['name'] or ''}{_GONE}", text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        for name, instead in self.names.items():
            text = _replace_name(text, name, instead)
        return _SOMEBODY.sub(r"\1<user>", text)

    def lines(self, text: str, *, whole: bool = True) -> str:
        """Take it out of a log: lines that may hold a prompt go as a whole, long ones are cut.

        Args:
            whole: It begins where the log does; else its first lines may go on with a prompt.
        """
        lines = self._private(text.splitlines(), None if whole else _HOLDS_PROMPT)
        return "\n".join(map(_cut, lines)) + "\n"

    def document(self, value: object, name: str = "") -> Any:  # noqa: ANN401  # as plain as it came
        """Take it out of a document of maps, lists and plain values."""
        match value:
            case dict():
                return {
                    self.text(str(key)): self.document(part, str(key))
                    for key, part in value.items()
                }
            case list() | tuple() if name == "log":
                return list(self._private("\n".join(map(str, value)).split("\n")))
            case list() | tuple():
                return self._items(value, name)
            case str() if _is_secret(name):
                return _GONE
            case str():
                return "\n".join(self._private(value.split("\n")))
            case _:
                return value

    def _items(self, items: Sequence[object], name: str) -> list[Any]:
        """Take it out of each item; what comes after a flag as --api-key is a secret."""
        before = ("", *items)
        return [
            self.document(item, flag if isinstance(flag, str) and flag.startswith("--") else name)
            for flag, item in zip(before, items, strict=False)
        ]

    def _private(self, lines: Iterable[str], within: str | None = None) -> Iterator[str]:
        """Go through lines in their order: a prompt, or a key, goes on in those that follow."""
        for line in lines:
            if within is _KEY_ENDS:
                within = None if _KEY_ENDS in line else within
                continue
            if _PROMPT_LINE.search(line):
                within = _HOLDS_PROMPT
                yield _HOLDS_PROMPT
            elif within is None or _BEGINS_ANEW.match(line):
                begins = _KEY_BEGINS.search(line) is not None and _KEY_ENDS not in line
                within = _KEY_ENDS if begins else None
                yield self.text(line)


def anonymous(
    *, secrets: Iterable[str], home: str, user: str, host: str, environment: Mapping[str, str]
) -> Anonymous:
    """Make one of what is known to be secret here.

    Args:
        secrets: Whole words, as a token.
        environment: Whose variables with telling names hold secrets.
    """
    found = {*secrets, *secrets_in(environment)}
    spelled = {form for one in found for form in (one, quote(one, safe=""), unquote(one))}
    words = sorted((s for s in spelled if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)
    names = {
        home.rstrip("/"): "~",
        host: "<host>",
        host.partition(".")[0]: "<host>",
        user: "<user>",
        **dict.fromkeys(hosts_in(environment.values()), "<another host>"),
    }
    kept = {name: instead for name, instead in names.items() if len(name) >= _SHORTEST_NAME}
    return Anonymous(tuple(words), dict(sorted(kept.items(), key=lambda pair: -len(pair[0]))))


def secrets_in(environment: Mapping[str, str]) -> Iterable[str]:
    """Give the values of variables that are secret, and passwords in addresses of proxies."""
    for name, value in environment.items():
        if _is_secret(name):
            yield value
        found = re.search(r"://([^\s/@]*)@", value)
        if found is not None:
            user, _, password = found[1].partition(":")
            yield from (part for part in (user, password) if part)


def hosts_in(values: Iterable[str]) -> Iterator[str]:
    """Give the names of computers in addresses, as of a company's mirror; those that all know stay."""
    for value in values:
        found = re.match(r"\w+://(?:[^\s/@]*@)?([\w-]+(?:\.[\w-]+)+)", value)
        if found is not None and not _KNOWN_HOST.search(found[1]):
            yield found[1]


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def _cut(line: str) -> str:
    """Cut a long line, once nothing secret is in it: half a key would stay."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def _replace_name(text: str, name: str, instead: str) -> str:
    if name.startswith("/"):
        return re.sub(rf"{re.escape(name)}(?=/|\b|\Z)", instead, text)
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", instead, text)
