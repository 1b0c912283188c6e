"""A hub that answers what it is told to, and a certificate that nobody knows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.test_outside import Releases

COMMIT = "c0ffee" + "0" * 34


@dataclass(frozen=True)
class Answer:
    """To one path."""

    body: object = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def a_hub(answers: Mapping[str, Answer]) -> type[Releases]:
    """A handler that answers by path, whatever the query; all else is not found."""

    class Api(Releases):
        def do_GET(self) -> None:
            self.note()
            answer = answers.get(self.path.partition("?")[0], Answer({"error": "no"}, 404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

    return Api


def a_description(*siblings: Mapping[str, object], **changes: object) -> Answer:
    """What a hub says of a repository."""
    found = {"id": "me/tiny", "sha": COMMIT, "tags": [], "siblings": list(siblings), **changes}
    return Answer(found)


def a_certificate(folder: Path) -> Path:
    """Make one of an authority of its own, for loopback and for a host that does not exist."""
    file = folder / "own.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:hub.invalid"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=us", "-newkey"),
            *("rsa:2048", "-addext", names, "-keyout", f"{file}.key", "-out", f"{file}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(Path(f"{file}.key").read_text() + Path(f"{file}.crt").read_text())
    return file
