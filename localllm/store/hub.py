"""Asks a Hugging Face hub; the only door to huggingface_hub, which takes half a second to import.

Not through HfFileSystem.open: in huggingface_hub 2.4 that reads a block of 5 MiB beyond what was
asked for, asks two more requests before, tries for up to 84 s where nothing answers, and keeps a
whole file of 40 GB in memory where a mirror ignores the range. Its addresses, session, token and
errors are the library's all the same; its session is made here, so that it trusts what we trust.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import httpx2
from huggingface_hub import HfApi, constants, errors
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, not declared
    build_hf_headers,
    hf_raise_for_status,
)
from huggingface_hub.utils._shared_blobs import sweep_shared_blob

from localllm import __version__
from localllm.errors import LocalLLMError
from localllm.formats.header import Format
from localllm.store import hub_errors
from localllm.store.access import (
    endpoint_of,
    file_url,
    find_token,
    hides_token,
    host_of,
    is_offline,
    token_file,
)
from localllm.store.bounded import within
from localllm.store.hub_errors import Conversion
from localllm.store.hub_session import TIMEOUT, session_for
from localllm.store.names import is_inside, is_repository, shown
from localllm.store.repository import Repository, RepositoryFile, is_commit

_ANSWER_WITHIN_S = 15.0
"""For finding the host, which no timeout of a socket bounds, for all of its addresses one after
the other, and for the answer: no network is said at once."""

_RANGE_WITHIN_S = 60.0
_TRIES = 3
"""Of a range whose connection breaks: each goes on where the one before has ended."""

_PARTIAL = 206
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_MOST_CONVERSIONS = 10


@dataclass(frozen=True, slots=True)
class HuggingFaceHub:
    """The hub that the environment names: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE; see `access`."""

    environment: Mapping[str, str] = field(repr=False)
    """There are secrets in it."""

    @property
    def endpoint(self) -> str:
        return endpoint_of(self.environment)

    @property
    def host(self) -> str:
        return host_of(self.endpoint)

    def fetch_repository(self, name: str, revision: str | None) -> Repository:
        """See `Hub`. One request, which brings the commit and all sizes."""
        with self._translated(name, revision):
            return self._repository(
                within(_ANSWER_WITHIN_S, partial(self._model_info, name, revision))
            )

    def fetch_conversions(self, name: str) -> Sequence[Conversion]:
        """List repositories in GGUF or MLX that say they are made from another, the most used first.

        Raises:
            LocalLLMError: As `Hub.fetch_repository`.
        """
        with self._translated(name, None):
            found = [
                conversion
                for kind in (Format.GGUF, Format.MLX)
                for conversion in within(_ANSWER_WITHIN_S, partial(self._conversions, name, kind))
            ]
        return sorted(found, key=lambda one: -one.downloads)

    def _conversions(self, name: str, kind: Format) -> Sequence[Conversion]:
        tags = [f"base_model:quantized:{name}", kind.value]
        with self._as_a_hub():
            listed = self._api().list_models(filter=tags, sort="downloads", limit=_MOST_CONVERSIONS)
            return [
                Conversion(model.id, kind, model.downloads or 0)
                for model in listed
                if is_repository(model.id)
            ]

    def fetch_range(
        self, repository: Repository, file: RepositoryFile, start: int, end: int
    ) -> bytes:
        """See `Hub`. One request, or two where the hub keeps its files elsewhere; more if it breaks off."""
        data = bytearray()
        with self._translated(repository.name, repository.commit, file.path):
            for tries_left in reversed(range(_TRIES)):
                try:
                    self._read_range(repository, file, (start + len(data), end), data)
                    break
                except (httpx2.ReadError, httpx2.RemoteProtocolError):
                    if not tries_left:
                        raise
        return bytes(data)

    def _read_range(
        self, repository: Repository, file: RepositoryFile, part: tuple[int, int], into: bytearray
    ) -> None:
        start, end = part
        url = file_url(self.endpoint, repository.name, repository.commit, file.path)
        headers = {
            **build_hf_headers(
                token=self._token(), library_name="localllm", library_version=__version__
            ),
            "range": f"bytes={start}-{end - 1}",
            "accept-encoding": "identity",
        }
        session = session_for(self.environment)
        asked = session.build_request("GET", url, headers=headers)
        send = partial(session.send, asked, stream=True)
        with closing(within(_ANSWER_WITHIN_S, send)) as answer:
            if answer.is_error:
                answer.read()
            hf_raise_for_status(answer)
            if start and answer.status_code != _PARTIAL:
                why = f"status {answer.status_code} where a part of {file.path} was asked for"
                raise hub_errors.no_hub(self.endpoint, why)
            self._read(answer, end - start, into)

    def _read(self, answer: httpx2.Response, wanted: int, into: bytearray) -> None:
        """Read so many bytes and leave the rest: a server may ignore the range."""
        count = 0
        deadline = monotonic() + _RANGE_WITHIN_S
        for piece in answer.iter_bytes():
            into += piece[: wanted - count]
            count += len(piece)
            if count >= wanted:
                return
            if monotonic() > deadline:
                why = f"{count} of {wanted} bytes came within {_RANGE_WITHIN_S:.0f} s"
                raise hub_errors.unreachable(self.endpoint, why)
        raise hub_errors.no_hub(self.endpoint, f"{count} bytes came of {wanted}")

    def _model_info(self, name: str, revision: str | None) -> ModelInfo:
        with self._as_a_hub():
            return self._api().model_info(
                name,
                revision=revision,
                files_metadata=True,
                timeout=TIMEOUT,  # type: ignore[arg-type]  # it hands it on
            )

    def _api(self) -> HfApi:
        session_for(self.environment)
        return HfApi(self.endpoint, token=self._token(), library_name="localllm")

    @contextmanager
    def _as_a_hub(self) -> Iterator[None]:
        try:
            yield
        except errors.HFValidationError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # the library takes what answers for a hub, and stumbles over anything else
            raise hub_errors.no_hub(
                self.endpoint, shown(f"{type(error).__name__}: {error}")
            ) from error

    def _repository(self, found: ModelInfo) -> Repository:
        if found.sha is None or found.siblings is None:
            raise hub_errors.no_hub(self.endpoint, "its answer has no commit or no files")
        if not is_commit(found.sha) or not is_repository(found.id):
            raise hub_errors.no_hub(self.endpoint, "its answer names no repository or no commit")
        files = (
            RepositoryFile(
                one.rfilename,
                one.size,
                sha256=_hash(one.lfs.sha256, _SHA256) if one.lfs else None,
                git_sha1=None if one.lfs else _hash(one.blob_id, _SHA1),
            )
            for one in found.siblings
            if one.size is not None and is_inside(one.rfilename)
        )
        library = "mlx" if "mlx" in (found.tags or ()) else found.library_name
        return Repository(found.id, self.host, found.sha, tuple(files), library)

    def _token(self) -> str | bool | None:
        """The user's token; None lets the library look, which renews one that is about to expire."""
        if _is_the_librarys(self.environment):
            return None
        return find_token(self.environment) or False

    @contextmanager
    def _translated(self, name: str, revision: str | None, path: str = "") -> Iterator[None]:
        """Turn the library's errors into ours."""
        if is_offline(self.environment) or constants.is_offline_mode():
            raise hub_errors.offline(name)
        try:
            yield
        except errors.HfHubHTTPError as error:
            raise _refusal(error, hub_errors.Asked(self.endpoint, name, revision, path)) from error
        except errors.HFValidationError as error:
            raise hub_errors.not_there(name, self.endpoint) from error
        except errors.OfflineModeIsEnabled as error:
            raise hub_errors.offline(name) from error
        except httpx2.InvalidURL as error:  # which may have a password in it
            raise hub_errors.unreachable(self.endpoint, "its address is none") from error
        except (httpx2.HTTPError, TimeoutError) as error:
            why = shown(str(error) or type(error).__name__)
            raise hub_errors.unreachable(self.endpoint, why) from error


def _hash(stated: str | None, kind: re.Pattern[str]) -> str | None:
    """Take what looks like one: a file of the cache is called by it."""
    return stated if stated is not None and kind.fullmatch(stated) else None


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
            said = shown(error.server_message or "it does not say why")
            return hub_errors.refused(asked, error.response.status_code, said)


def _is_the_librarys(environment: Mapping[str, str]) -> bool:
    """Tell whether the library, which read the process's own variables, finds the same token."""
    stated = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    return (
        all(environment.get(name) == os.environ.get(name) for name in stated)
        and str(token_file(environment)) == constants.HF_TOKEN_PATH
        and hides_token(environment) == constants.HF_HUB_DISABLE_IMPLICIT_TOKEN
    )


def sweep_shared(blob: Path, cache: Path) -> int:
    """Free contents in the store that repositories share, if none needs them any more.

    Args:
        blob: In that store.

    Returns:
        Bytes that were freed.
    """
    return sweep_shared_blob(blob, cache_dir=cache)
