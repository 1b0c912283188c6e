"""Asks a Hugging Face hub; the only door to huggingface_hub, which takes half a second to import.

Not through HfFileSystem.open: in huggingface_hub 2.4 that reads a block of 5 MiB beyond what was
asked for, asks two more requests before, tries for up to 84 s where nothing answers, and keeps a
whole file of 40 GB in memory where a mirror ignores the range. Its addresses, session, token and
errors are the library's all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, constants, errors, get_session, hf_hub_url
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, not declared
    build_hf_headers,
    hf_raise_for_status,
)

from localllm import __version__
from localllm.errors import LocalLLMError
from localllm.store import hub_errors
from localllm.store.repository import Repository, RepositoryFile

_TIMEOUT_S = 10.0
"""For a connection, and between two pieces of an answer."""

_RANGE_WITHIN_S = 60.0
_PARTIAL = 206
_TRUE = {"1", "ON", "YES", "TRUE"}


@dataclass(frozen=True, slots=True)
class HuggingFaceHub:
    """The hub that the environment names: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.

    Without HF_TOKEN the library looks for one where `hf auth login` left it, in HF_HOME.
    """

    environment: Mapping[str, str]

    @property
    def endpoint(self) -> str:
        stated = self.environment.get("HF_ENDPOINT") or "https://huggingface.co"
        return stated.rstrip("/")

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    def fetch_repository(self, name: str, revision: str | None) -> Repository:
        """See `Hub`. One request, which brings the commit and all sizes."""
        with self._translated(name, revision):
            return self._repository(self._model_info(name, revision))

    def fetch_range(
        self, repository: Repository, file: RepositoryFile, start: int, end: int
    ) -> bytes:
        """See `Hub`. One request, or two where the hub keeps its files elsewhere."""
        with self._translated(repository.name, repository.commit, file.path):
            return self._range(repository, file, start, end)

    def _range(self, repository: Repository, file: RepositoryFile, start: int, end: int) -> bytes:
        url = hf_hub_url(
            repository.name, file.path, revision=repository.commit, endpoint=self.endpoint
        )
        headers = {
            **build_hf_headers(
                token=self._token(), library_name="localllm", library_version=__version__
            ),
            "range": f"bytes={start}-{end - 1}",
            "accept-encoding": "identity",
        }
        with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as answer:
            if answer.is_error:
                answer.read()
            hf_raise_for_status(answer)
            if start and answer.status_code != _PARTIAL:
                why = f"status {answer.status_code} where a part of {file.path} was asked for"
                raise hub_errors.no_hub(self.endpoint, why)
            return self._read(answer, end - start)

    def _read(self, answer: httpx2.Response, wanted: int) -> bytes:
        """Read so many bytes and leave the rest: a server may ignore the range."""
        data = bytearray()
        deadline = monotonic() + _RANGE_WITHIN_S
        for piece in answer.iter_bytes():
            data += piece
            if len(data) >= wanted:
                return bytes(data[:wanted])
            if monotonic() > deadline:
                why = f"{len(data)} of {wanted} bytes came within {_RANGE_WITHIN_S:.0f} s"
                raise hub_errors.unreachable(self.endpoint, why)
        raise hub_errors.no_hub(self.endpoint, f"{len(data)} bytes came of {wanted}")

    def _model_info(self, name: str, revision: str | None) -> ModelInfo:
        api = HfApi(self.endpoint, token=self._token(), library_name="localllm")
        try:
            return api.model_info(name, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
        except errors.HFValidationError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # the library takes what answers for a hub, and stumbles over anything else
            raise hub_errors.no_hub(self.endpoint, f"{type(error).__name__}: {error}") from error

    def _repository(self, found: ModelInfo) -> Repository:
        if found.sha is None or found.siblings is None:
            raise hub_errors.no_hub(self.endpoint, "its answer has no commit or no files")
        files = (
            RepositoryFile(
                one.rfilename,
                one.size,
                sha256=one.lfs.sha256 if one.lfs else None,
                git_sha1=None if one.lfs else one.blob_id,
            )
            for one in found.siblings
            if one.size is not None and _is_inside(one.rfilename)
        )
        library = "mlx" if "mlx" in (found.tags or ()) else found.library_name
        return Repository(found.id, self.host, found.sha, tuple(files), library)

    def _token(self) -> str | None:
        return self.environment.get("HF_TOKEN") or None

    @contextmanager
    def _translated(self, name: str, revision: str | None, path: str = "") -> Iterator[None]:
        """Turn the library's errors into ours."""
        if _is_offline(self.environment):
            raise hub_errors.offline(name)
        try:
            yield
        except errors.HfHubHTTPError as error:
            raise _refusal(error, hub_errors.Asked(self.endpoint, name, revision, path)) from error
        except errors.HFValidationError as error:
            raise hub_errors.not_there(name, self.endpoint) from error
        except errors.OfflineModeIsEnabled as error:
            raise hub_errors.offline(name) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise hub_errors.unreachable(self.endpoint, why) from error


def _refusal(error: errors.HfHubHTTPError, asked: hub_errors.Asked) -> LocalLLMError:
    match error:
        case errors.GatedRepoError():
            return hub_errors.gated(asked.name, asked.endpoint)
        case errors.RepositoryNotFoundError():
            return hub_errors.not_there(asked.name, asked.endpoint)
        case errors.RevisionNotFoundError():
            return hub_errors.no_revision(asked.name, asked.revision)
        case errors.EntryNotFoundError():
            return hub_errors.no_file(asked.name, asked.path)
        case _:
            said = error.server_message or "it does not say why"
            return hub_errors.refused(asked, error.response.status_code, said)


def _is_offline(environment: Mapping[str, str]) -> bool:
    """Source: huggingface_hub, constants.py."""
    stated = environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE") or ""
    return stated.upper() in _TRUE or constants.is_offline_mode()


def _is_inside(path: str) -> bool:
    """Tell whether a listed path stays in its repository, since it is looked for on disk too."""
    return not path.startswith("/") and ".." not in path.split("/") and "\\" not in path
