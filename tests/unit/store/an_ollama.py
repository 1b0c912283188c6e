"""A folder as Ollama lays it out."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

KIND = "application/vnd.ollama.image."
LIST = "application/vnd.ollama.manifest.list.v2+json"


class AnOllama:
    """What Ollama has on a disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"OLLAMA_MODELS": str(root)}

    def blob(self, data: bytes) -> Path:
        file = self.root / "blobs" / f"sha256-{sha256(data).hexdigest()}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def layer(self, kind: str, data: bytes) -> dict[str, object]:
        file = self.blob(data)
        digest = file.name.replace("-", ":")
        return {"mediaType": f"{KIND}{kind}", "digest": digest, "size": len(data)}

    def manifest(self, **layers: bytes) -> dict[str, object]:
        """Put the layers there, and list them; a kind that begins with `no` is none of them."""
        config = {**self.layer("config", b"{}"), "mediaType": "application/vnd.docker.container"}
        listed = [self.layer(kind, data) for kind, data in layers.items()]
        return {"schemaVersion": 2, "config": config, "layers": listed}

    def place(self, name: str) -> Path:
        """Where the manifest of a whole name goes, as in registry.ollama.ai/library/qwen3/8b."""
        file = self.root / "manifests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def put(self, name: str, **layers: bytes) -> Path:
        """Add a model, and return the file of its weights."""
        self.place(name).write_text(json.dumps(self.manifest(**layers)))
        return self.blob(layers["model"])

    def put_text(self, name: str, text: str) -> None:
        self.place(name).write_text(text)

    def link(self, name: str, manifest: object) -> None:
        """Add a model as newer versions do: a link to a blob."""
        blob = self.blob(json.dumps(manifest).encode())
        file = self.root / "manifests-v2" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(blob)
