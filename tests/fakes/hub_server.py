"""The two hosts of the fake hub: the hub itself, and the storage that has its large files.

Source: huggingface_hub 2.4 (hf_api.py, file_download.py, utils/_http.py, utils/_xet.py) and
hf.co/docs/hub/api.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.fakes.hub_faults import Stage
from tests.fakes.hub_repository import Commit, FakeRepository, HubFile
from tests.fakes.hub_wire import Wire

PAGE = 2
"""Entries of one page of a tree; the real hub sends 1000."""

_NAME = r"(?P<name>[^/]+/[^/]+)"
_ROUTES = (
    (rf"/api/models/{_NAME}(?:/revision/(?P<revision>[^/]+))?", "describe"),
    (rf"/api/models/{_NAME}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", "tree"),
    (rf"/api/models/{_NAME}/paths-info/(?P<revision>[^/]+)", "paths_info"),
    (rf"/api/models/{_NAME}/xet-read-token/(?P<revision>[^/]+)", "xet_token"),
    (rf"/api/resolve-cache/models/{_NAME}/(?P<revision>[^/]+)/(?P<path>.+)", "small_file"),
    (rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
)


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class HubHandler(Wire):
    host = "hub"

    def answer(self) -> None:
        try:
            self._route()
        except Refused as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            body = json.dumps({"error": error.message}).encode()
            self.send(error.status, body, {k: v for k, v in headers.items() if v})

    def _route(self) -> None:
        target = urlsplit(self.path)
        self.query = parse_qs(target.query)
        if target.path == "/api/models":
            self.fails(Stage.API)
            self._search()
        else:
            self._route_to_repository(target.path)

    def _route_to_repository(self, target: str) -> None:
        for pattern, verb in _ROUTES:
            found = re.fullmatch(pattern, target)
            if found is None:
                continue
            parts = {k: unquote(v) if v else "" for k, v in found.groupdict().items()}
            if parts["name"] in self.hub.moved:
                now = quote(self.hub.moved[parts["name"]])
                self._redirect(self.path.replace(found["name"], now, 1))
                return
            at = Stage.RESOLVE if "resolve" in verb else Stage.API
            fault = self.fails(at, parts["name"], parts.get("path", ""))
            if fault.location is not None:
                self._redirect(fault.location or self.path, self._known(parts))
                return
            serve: Callable[[Commit, str], None] = getattr(self, f"_{verb}")
            serve(self._commit(parts), parts.get("path", ""))
            return
        raise Refused(404, "", "Sorry, we can't find the page you are looking for.")

    def _redirect(self, location: str, headers: dict[str, str] | None = None) -> None:
        self.send(HTTPStatus.TEMPORARY_REDIRECT, b"", {**(headers or {}), "Location": location})

    def _known(self, parts: dict[str, str]) -> dict[str, str]:
        """What is told of a file however wrong the address is that it is sent to."""
        commit = self._commit(parts)
        found = commit.file(parts.get("path", ""))
        return self._told(commit, found) if found else {}

    def _commit(self, parts: dict[str, str]) -> Commit:
        repository = self._repository(parts["name"])
        revision = parts.get("revision", "")
        found = repository.at(revision)
        if found is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _repository(self, name: str) -> FakeRepository:
        if self.token is not None and self.token != self.hub.token:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        found = self.hub.repositories.get(name)
        if found is None or (found.is_private and self.token is None):
            # without a token the hub does not tell a private repository from none
            if self.token is None:
                raise Refused(401, "RepoNotFound", "Invalid username or password.")
            raise Refused(404, "RepoNotFound", "Repository not found")
        return found

    def _describe(self, commit: Commit, _path: str) -> None:
        sizes = "blobs" in self.query
        siblings = (
            [file.sibling(sizes=True) for file in commit.files()]
            if sizes
            else [{"rfilename": path} for path in commit.paths()]
        )
        repository = self.hub.repositories[commit.repository]
        self.send_json({**_summary(repository), "sha": commit.id, "siblings": siblings})

    def _search(self) -> None:
        wanted = set(self.query.get("filter", []))
        text = self.query.get("search", [""])[0].lower()
        author = self.query.get("author", [""])[0]
        found = [
            _summary(one)
            for one in sorted(self.hub.repositories.values(), key=lambda one: -one.downloads)
            if wanted <= set(one.tags)
            and text in one.name.lower()
            and one.name.startswith(f"{author}/" if author else "")
            and not (one.is_private and self.token is None)
        ]
        self.send_json(found[: int(self.query.get("limit", ["1000"])[0])])

    def _tree(self, commit: Commit, path: str) -> None:
        below = [p for p in commit.paths() if p.startswith(f"{path}/" if path else "")]
        first = int(self.query.get("cursor", ["0"])[0])
        page = self._entries(commit, below[first : first + PAGE])
        headers = {}
        if first + PAGE < len(below):
            target = urlsplit(self.path).path
            following = f"{self.hub.url}{target}?recursive=True&cursor={first + PAGE}"
            headers["Link"] = f'<{following}>; rel="next"'
        self.send_json(page, headers)

    def _paths_info(self, commit: Commit, _path: str) -> None:
        sent = self.body.decode()
        wanted = json.loads(sent)["paths"] if sent.startswith("{") else parse_qs(sent)["paths"]
        self.send_json(self._entries(commit, wanted))

    def _entries(self, commit: Commit, paths: list[str]) -> list[dict[str, object]]:
        files = (commit.file(path) for path in paths)
        return [file.entry(xet=self.hub.announces_xet) for file in files if file]

    def _xet_token(self, commit: Commit, _path: str) -> None:
        """Give access to a Xet storage, of which there is none."""
        until = str(int(self.hub.clock()) + 3600)
        told = {"casUrl": self.hub.storage_url, "exp": until, "accessToken": "xet_read"}
        headers = {
            "X-Xet-Cas-Url": told["casUrl"],
            "X-Xet-Token-Expiration": until,
            "X-Xet-Access-Token": told["accessToken"],
        }
        self.send_json({**told, "exp": int(until)}, headers)

    def _resolve(self, commit: Commit, path: str) -> None:
        self._require_granted(self.hub.repositories[commit.repository])
        found = commit.file(path)
        if found is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        told = self._told(commit, found)
        if found.is_large:
            self.send(302, b"", {**told, "Location": self.hub.sign(found, commit.id)})
        elif self.hub.links_small_files:
            name = f"{found.repository}/{commit.id}/{quote(path)}"
            self._redirect(f"/api/resolve-cache/models/{name}", told)
        else:
            self.send_file(found, told)

    def _small_file(self, commit: Commit, path: str) -> None:
        found = commit.file(path)
        if found is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        self.send_file(found, self._told(commit, found))

    def _require_granted(self, repository: FakeRepository) -> None:
        if not repository.is_gated or (self.token is not None and repository.is_granted):
            return
        message = f"Access to model {repository.name} is restricted"
        if self.token is None:
            raise Refused(401, "GatedRepo", f"{message}.")
        message += " and you are not in the authorized list."
        raise Refused(403, "GatedRepo", message)

    def _told(self, commit: Commit, found: HubFile) -> dict[str, str]:
        headers = {"X-Repo-Commit": commit.id}
        if not found.is_large:
            return headers
        headers |= {
            "ETag": f'"{found.etag}"',
            "X-Linked-Size": str(found.size),
            "X-Linked-ETag": f'"{found.etag}"',
        }
        return headers | (self._xet(commit, found) if self.hub.announces_xet else {})

    def _xet(self, commit: Commit, found: HubFile) -> dict[str, str]:
        route = f"{self.hub.url}/api/models/{commit.repository}/xet-read-token/{commit.id}"
        plan = f"{self.hub.storage_url}/v1/reconstructions/{found.xet_hash}"
        return {
            "X-Xet-Hash": found.xet_hash,
            "X-Xet-Refresh-Route": route,
            "Link": f'<{route}>; rel="xet-auth", <{plan}>; rel="xet-reconstruction-info"',
        }


class StorageHandler(Wire):
    """Knows signed addresses alone, and no tokens."""

    host = "storage"

    def answer(self) -> None:
        target = urlsplit(self.path)
        found = re.fullmatch(rf"/storage/{_NAME}/(?P<commit>[0-9a-f]+)/(?P<path>.+)", target.path)
        if found is None:
            self._refuse(404, "NoSuchKey")
        elif self.token is not None:
            self._refuse(400, "Only one auth mechanism allowed")
        elif not self._is_valid(target.path, parse_qs(target.query)):
            self._refuse(403, "Request has expired")
        else:
            self._send(unquote(found["name"]), found["commit"], unquote(found["path"]))

    def _is_valid(self, path: str, query: dict[str, list[str]]) -> bool:
        parts = [query.get(key, [""])[0] for key in ("Expires", "Id", "Signature")]
        return all(parts) and self.hub.is_valid(path, *parts)

    def _send(self, name: str, commit: str, path: str) -> None:
        repository = self.hub.repositories[name]
        at = repository.at(commit)
        found = at.file(path) if at else None
        if found is None:
            self._refuse(404, "NoSuchKey")
            return
        file_name = path.rpartition("/")[2]
        self.send_file(found, {"Content-Disposition": f'inline; filename="{file_name}";'})

    def _refuse(self, status: int, why: str) -> None:
        text = (
            f'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>{why}</Message></Error>'
        )
        self.send(status, text.encode(), {"Content-Type": "application/xml"})


def _summary(repository: FakeRepository) -> dict[str, object]:
    """What a search tells of each."""
    return {
        "_id": "0" * 24,
        "id": repository.name,
        "modelId": repository.name,
        "private": repository.is_private,
        "gated": "auto" if repository.is_gated else False,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": 0,
        "tags": repository.tags,
        "createdAt": "2026-01-01T00:00:00.000Z",
    }
