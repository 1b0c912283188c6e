"""How people name a repository's model: hf:owner/repo, with a quantization and a revision, or its URL.

Pure: nothing is looked up, and what comes out is safe in a path and on a terminal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from localllm.errors import ModelNotFound

HUB = "https://huggingface.co"
OLLAMA = "ollama:"
"""Before the name that a model has in Ollama."""

_HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"})
_NAME = re.compile(
    r"(?:hf:)?(?P<repo>[\w.-]+/[\w.-]+?)(?::(?P<quant>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?",
)
_URL = re.compile(r"https?://|(?:www\.)?(?:huggingface|hf)\.co/", re.IGNORECASE)

_NO_MODELS = frozenset({"datasets", "spaces", "collections", "papers", "kernels", "buckets"})
"""What else a hub has, by the first word of its address."""

_VIEWS = frozenset({"tree", "blob", "resolve", "raw", "commit", "commits", "blame", "edit"})
"""Pages of a repository at a revision, which comes next in their address."""

_MAX_PATH, _SHOWN = 1000, 120


@dataclass(frozen=True, slots=True)
class RepositoryName:
    repo: str
    """As in owner/name."""

    quant: str | None = None
    revision: str | None = None
    """A branch, tag or commit; None: the default branch."""

    file: str | None = None
    """The path of one .gguf in it; None: whichever is the best."""


def is_url(text: str) -> bool:
    """Tell whether a name is an address of the web, with or without https:// before it."""
    return _URL.match(text) is not None


def is_a_path(text: str) -> bool:
    """Tell whether a name means a place on this computer."""
    if is_url(text) or text.startswith(OLLAMA):
        return False
    return text.startswith((".", "/", "~")) or text.endswith(".gguf") or ".." in text.split("/")


def is_inside(path: str) -> bool:
    """Tell whether a listed path stays in its folder, and is fit for a terminal."""
    parts = path.split("/")
    odd = not path.isprintable() or "\\" in path or len(path) > _MAX_PATH
    return not odd and not {"", ".", ".."}.intersection(parts)


def is_repository(text: str) -> bool:
    """Tell whether a text is owner/name and no more, as a hub must call its repositories."""
    return not is_url(text) and _of_text(text) == RepositoryName(text)


def shown(text: str) -> str:
    """Quote what somebody else wrote, or its beginning."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")[1:-1]


def parse_repository_name(text: str, endpoint: str = HUB) -> RepositoryName | None:
    """Read `[hf:]owner/repo[:quant][@revision]` or a hub's URL; None for anything else.

    Args:
        endpoint: The hub that is asked, whose own URLs are taken beside Hugging Face's.

    Raises:
        ModelNotFound: It is a URL, but of no model on a hub.
    """
    if is_url(text):
        return _of_url(text, endpoint)
    if is_a_path(text):
        return None
    return _of_text(text)


def with_quant(text: str, quant: str, endpoint: str = HUB) -> str:
    """Name the same model in a quantization; what names no repository gets it behind a colon.

    Raises:
        ModelNotFound: As `parse_repository_name`.
    """
    name = parse_repository_name(text, endpoint)
    if name is None:
        return f"{text}:{quant}"
    behind = "" if name.revision is None else f"@{name.revision}"
    return f"hf:{name.repo}:{quant}{behind}"


def _of_text(text: str) -> RepositoryName | None:
    match = _NAME.fullmatch(text)
    if match is None or not is_inside(match["repo"]):
        return None
    revision = match["revision"]
    if revision is not None and not is_inside(revision):
        return None
    return RepositoryName(match["repo"], match["quant"], revision)


def _of_url(text: str, endpoint: str) -> RepositoryName:
    path = _path_on_hub(text, endpoint)
    if path is None:
        raise _not_a_hub(text, endpoint)
    words = re.sub(r"^/+(?:api/)?(?:models/+)?", "", path).rstrip("/").split("/")
    if words[0] in _NO_MODELS:
        raise _not_a_model(text, f"it is an address of {words[0]}")
    name = _of_text(unquote("/".join(words[:2])))
    if name is None or not words[0]:
        raise _not_a_model(text, "it has no owner/repo of a model behind the host")
    if len(words) > 3 and words[2] in _VIEWS:  # noqa: PLR2004  # owner, repo, view, revision
        return _at(name, text, words[2], words[3:])
    return name


def _at(name: RepositoryName, text: str, view: str, words: list[str]) -> RepositoryName:
    """Read what comes behind /tree/, /blob/ and the like: a revision, and perhaps a path."""
    length = 3 if words[0] == "refs" else 1  # refs/pr/1, which a browser writes with %2F
    revision, path = unquote("/".join(words[:length])), unquote("/".join(words[length:]))
    if not is_inside(revision) or (path and not is_inside(path)):
        raise _not_a_model(text, "its revision or path is none that a hub has")
    is_file = view != "tree" and path.lower().endswith(".gguf")
    is_default = revision == "main"
    return RepositoryName(
        name.repo, name.quant, None if is_default else revision, path if is_file else None
    )


def _path_on_hub(text: str, endpoint: str) -> str | None:
    """The path of an address on a hub, below the path that a mirror may have; None elsewhere."""
    url = _split(text if "://" in text else f"https://{text}")
    hub = _split(endpoint)
    if url is None:
        return None
    prefix = "" if hub is None else hub.path.rstrip("/")
    if hub is not None and (url.hostname, _port(url)) == (hub.hostname, _port(hub)):
        below = url.path.startswith(f"{prefix}/")
        return url.path[len(prefix) :] if below else None
    return url.path if url.hostname in _HUB_HOSTS else None


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _port(url)  # raises for one that is no number
    except ValueError:
        return None
    return url if url.hostname else None


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _not_a_hub(text: str, endpoint: str) -> ModelNotFound:
    hubs = HUB if endpoint == HUB else f"{HUB} and {endpoint}, which HF_ENDPOINT names"
    return ModelNotFound(
        f"{shown(text)} is on no model hub that is known here.",
        why=f"known are {hubs}",
        fix="give hf:owner/repo, or fetch the file with a browser and give its path",
    )


def _not_a_model(text: str, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"{shown(text)} names no model.",
        why=why,
        fix="copy the address of the model's page, as in https://huggingface.co/owner/repo",
    )
