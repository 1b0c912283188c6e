"""Finds what Ollama has on this disk. Its models are GGUF files, named by their digest.

`manifests/HOST/NAMESPACE/NAME/TAG` is a JSON list of layers, `blobs/sha256-HEX` is a layer. In
`manifests-v2` the host is ollama.com, and the file a link to a blob. Whoever serves a model there wrote the
manifest, so nothing of it is trusted; nothing is ever written. Source: Ollama, manifest/manifest.go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from localllm.errors import ModelNotFound
from localllm.store.names import OLLAMA
from localllm.store.variables import expanded

OLLAMA_MANIFESTS = ("manifests-v2", "manifests")
"""Its folders of names, the newer first."""

_PLACES = (
    "~/.ollama/models",
    "/usr/share/ollama/.ollama/models",
    "/var/lib/ollama",
    "/var/lib/ollama/models",
    "/var/lib/ollama/.ollama/models",
    "/var/snap/ollama/common/models",
)
_MAX_MANIFEST_BYTES = 4 << 20
_MOST = 2000
"""Names that are looked at; more are no user's list of models."""

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_ITS_OWN = ("registry.ollama.ai", "ollama.com")
_KIND = "application/vnd.ollama.image."
_RUNNERS = ("ollama", "llamacpp", "")
"""Of several forms of a model, those that are GGUF."""


class _Layer(msgspec.Struct):
    kind: str = msgspec.field(name="mediaType", default="")
    digest: str = ""
    size: int = 0


class _Manifest(msgspec.Struct):
    config: _Layer | None = None
    layers: list[_Layer] | None = None
    runner: str = ""
    digest: str = ""
    """Of a blob that is the manifest; empty where this is all of it."""

    manifests: list[_Manifest] | None = None
    """Forms of one model, of which an engine takes one."""


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """One model that Ollama has."""

    name: str
    """As `ollama ls` shows it: qwen3:8b, hf.co/owner/repo:Q4_K_M."""

    file: Path
    """The blob with the weights, whether it is there or not."""

    size_bytes: int
    """Of all of its blobs that are there."""

    projector: Path | None
    blobs: tuple[Path, ...]
    """Those that are there; other models may have some of them too."""

    missing: tuple[str, ...]
    """Names of blobs that it cannot be served without."""

    adapters: tuple[Path, ...] = ()
    """What Ollama puts over the weights."""

    @property
    def repo(self) -> str | None:
        """Where it came from on Hugging Face, as in owner/name; None for others."""
        host, _, rest = self.name.rpartition(":")[0].partition("/")
        return rest if host in {"hf.co", "huggingface.co"} else None

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called, the shortest first."""
        short = self.name.removesuffix(":latest")
        return tuple(dict.fromkeys((short, self.name)))


@dataclass(frozen=True, slots=True)
class _Named:
    """A name that one of the folders has."""

    name: str
    root: Path
    file: Path


def ollama_folders(environment: Mapping[str, str]) -> Sequence[Path]:
    """List the folders that Ollama may keep models in, whether they are there or not.

    OLLAMA_MODELS alone counts where it is set. Source: Ollama's docs/faq and its installer, and
    the packages of Arch Linux, NixOS and snap.
    """
    stated = environment.get("OLLAMA_MODELS", "").strip(" \"'")
    places = [stated] if stated else _PLACES
    return [expanded(place, environment) for place in places]


def ollama_models(environment: Mapping[str, str]) -> Sequence[OllamaModel]:
    """List what Ollama has that can be served from its files, by name; what cannot is passed over."""
    found: dict[str, OllamaModel] = {}
    for named in _all_named(environment):
        try:
            found.setdefault(named.name, _read(named))
        except ModelNotFound:
            continue
    return [found[name] for name in sorted(found)]


def find_ollama(name: str, environment: Mapping[str, str]) -> OllamaModel | None:
    """Find a model by the name it has in Ollama; None where Ollama has none of that name.

    Raises:
        ModelNotFound: Ollama knows it, but its files are not here, broken, or in another format.
    """
    wanted = _whole(name)
    for named in _all_named(environment):
        if named.name.lower() == wanted:
            return _read(named)
    return None


def closed_folders(environment: Mapping[str, str]) -> Sequence[Path]:
    """List the folders of Ollama's that this user may not look into."""
    return [root for root in ollama_folders(environment) if _is_closed(root)]


def _is_closed(root: Path) -> bool:
    try:
        with os.scandir(root / "manifests"):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


def _whole(name: str) -> str:
    """Complete a name as Ollama does, and put it into small letters, which it does not tell apart."""
    name = name.lower().removeprefix("https://")
    for host in _ITS_OWN:
        name = name.removeprefix(f"{host}/")
    name = name.removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _all_named(environment: Mapping[str, str]) -> Iterator[_Named]:
    for root in ollama_folders(environment):
        for folder in OLLAMA_MANIFESTS:
            yield from islice(_named(root, root / folder), _MOST)


def _named(root: Path, folder: Path) -> Iterator[_Named]:
    for host in _entries(folder, _HOST):
        for namespace in _entries(host, _WORD):
            for model in _entries(namespace, _WORD):
                for tag in _entries(model, _WORD):
                    words = (host.name, namespace.name, model.name)
                    yield _Named(f"{_base(*words)}:{tag.name}", root, tag)


def _entries(folder: Path, allowed: re.Pattern[str]) -> Sequence[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, _MOST))
    except OSError:
        return []
    return [folder / name for name in names if allowed.fullmatch(name)]


def _base(host: str, namespace: str, model: str) -> str:
    if host not in _ITS_OWN:
        return f"{host}/{namespace}/{model}"
    return model if namespace == "library" else f"{namespace}/{model}"


def _read(named: _Named) -> OllamaModel:
    manifest = _runnable(named, _decoded(named, named.file))
    layers = manifest.layers or []
    files = {layer.digest: _blob(named, layer) for layer in layers}
    weights, projectors, adapters = (
        [files[layer.digest] for layer in layers if layer.kind == _KIND + kind]
        for kind in ("model", "projector", "adapter")
    )
    if not weights:
        raise _unusable(
            named.name,
            "it has no file of weights here: it runs in Ollama's cloud, or is of its MLX engine's",
        )
    config = [] if manifest.config is None else [_blob(named, manifest.config)]
    there = tuple(file for file in dict.fromkeys((*config, *files.values())) if _size(file))
    needed = dict.fromkeys((*weights[:1], *projectors, *adapters))
    return OllamaModel(
        named.name,
        weights[0],
        sum(_size(file) for file in there),
        projectors[0] if projectors else None,
        there,
        tuple(file.name for file in needed if file not in there),
        tuple(adapters),
    )


def _runnable(named: _Named, manifest: _Manifest) -> _Manifest:
    """Of a model in several forms, the one that is a GGUF."""
    forms = manifest.manifests or []
    for runner in _RUNNERS:
        for form in forms:
            if form.runner.lower() == runner:
                return _decoded(named, _blob(named, form)) if form.digest else form
    return manifest


def _decoded(named: _Named, file: Path) -> _Manifest:
    try:
        if not _is_of(named.root, file) or not file.is_file():
            raise _unusable(named.name, "its manifest is no file of that folder")
        with file.open("rb") as opened:
            data = opened.read(_MAX_MANIFEST_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        raise _unusable(named.name, f"its manifest cannot be read: {error}") from error
    if len(data) > _MAX_MANIFEST_BYTES:
        raise _unusable(named.name, "its manifest is too long")
    try:
        return msgspec.json.decode(data, type=_Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _unusable(named.name, "its manifest is broken") from error


def _blob(named: _Named, layer: _Layer | _Manifest) -> Path:
    """Where a layer is; its digest is all that its path is made of."""
    digest = _DIGEST.fullmatch(layer.digest)
    if digest is None:
        raise _unusable(named.name, "its manifest names a layer by what is no digest")
    return named.root / "blobs" / f"sha256-{digest[1].lower()}"


def _is_of(root: Path, file: Path) -> bool:
    """Tell whether a file is where it seems to be; the folders themselves may be links."""
    real = file.resolve()
    folders = (root, root / "blobs", *(root / name for name in OLLAMA_MANIFESTS))
    return any(real.is_relative_to(folder.resolve()) for folder in folders)


def _size(blob: Path) -> int:
    """A blob's bytes; 0 for what is none, or leads out of the folder of blobs."""
    try:
        is_here = blob.is_file() and _is_of(blob.parent.parent, blob)
        return blob.stat().st_size if is_here else 0
    except (OSError, RuntimeError):
        return 0


def _unusable(name: str, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"Ollama's {name} cannot be served from its files.",
        why=why,
        fix=f"ollama pull {name}, or name another model: localllm ls lists what is here",
    )


def missing_blobs(model: OllamaModel) -> ModelNotFound:
    """Name the blobs that a model lacks."""
    return ModelNotFound(
        f"{OLLAMA}{model.name} is not all there.",
        why=f"missing in {model.file.parent}: {', '.join(model.missing)}",
        fix=f"ollama pull {model.name}",
    )
