"""The part of the Hugging Face hub's API that huggingface-hub 2.4 calls to look at, commit to and ask a dataset repository."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tests.share.web import Answer, Request

TOKEN = "hf_" + "secretSECRETsecret1234"
REPO = "me/results"
LARGE = 5000
"""Bytes from which a file is stored by LFS."""
Faults = Mapping[str, Sequence[Answer]]


class Hub:
    def __init__(self, faults: Faults | None = None) -> None:
        """`faults`: answers, or connections that break, in place of the first that a step gives; a step is `look`, `modes`, `batch`, `put`,
        `verify`, `commit` or `ask`."""
        self.faults = {step: list(answers) for step, answers in (faults or {}).items()}
        self.url = ""
        self.private = True
        self.requests: list[Request] = []
        self.steps: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.commits: list[dict[str, bytes]] = [{}]
        """Files of each, the last is `main`."""
        self.proposed: dict[str, bytes] | None = None
        self.broken_within: list[str] = []
        self.lost: list[str] = []
        """Steps that are done, and whose answer never comes."""
        self.forgets: list[str] = []
        """Ends of names that a commit says to have taken, and has not."""
        self.alters: list[str] = []
        """The same for files of which it has other bytes."""

    @property
    def main(self) -> dict[str, bytes]:
        return self.commits[-1]

    def cut_within(self, method: str, path: str) -> bool:
        step = self._step(method, urlsplit(path).path)
        if step in self.broken_within:
            self.broken_within.remove(step)
            return True
        return False

    def answer(self, request: Request) -> Answer:
        place = urlsplit(request.path)
        step = self._step(request.method, place.path)
        self.steps.append(step)
        if waiting := self.faults.get(step):
            return waiting.pop(0)
        if step == "put":
            assert "authorization" not in request.headers
        elif request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Answer(
                401, {"error": "Invalid credentials"}, {"x-error-message": "Invalid credentials in Authorization header"}
            )
        if REPO not in place.path and step != "put":
            return Answer(404, {"error": "Repository not found"}, {"x-error-code": "RepoNotFound"})
        answer: Answer = getattr(self, f"_{step}")(request, parse_qs(place.query))
        if step in self.lost:
            return Answer(0, cut=True)
        return answer

    def _step(self, method: str, path: str) -> str:
        known = {
            f"/api/datasets/{REPO}/preupload/": "modes",
            f"/datasets/{REPO}.git/info/lfs/objects/batch": "batch",
            "/lfs/": "put",
            f"/datasets/{REPO}/verify": "verify",
            f"/api/datasets/{REPO}/commit/": "commit",
            f"/api/datasets/{REPO}/paths-info/": "ask",
        }
        return next((step for start, step in known.items() if path.startswith(start)), "look")

    def _look(self, request: Request, query: object) -> Answer:
        return Answer(
            200, {"_id": "1", "id": REPO, "sha": self._oid(len(self.commits) - 1), "private": self.private, "tags": []}
        )

    def _modes(self, request: Request, query: object) -> Answer:
        asked = msgspec.json.decode(request.body)["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                "shouldIgnore": False,
                "oid": told["lfs"]["oid"] if "lfs" in (told := self._told(self.main, file["path"]) or {}) else told.get("oid"),
            }
            for file in asked
        ]
        return Answer(200, {"files": modes, "commitOid": self._oid(len(self.commits) - 1)})

    def _batch(self, request: Request, query: object) -> Answer:
        asked = msgspec.json.decode(request.body)
        assert asked["operation"] == "upload"
        objects = []
        for item in asked["objects"]:
            actions = {
                "upload": {"href": f"{self.url}/lfs/{item['oid']}"},
                "verify": {"href": f"{self.url}/datasets/{REPO}/verify"},
            }
            objects.append(item | ({} if item["oid"] in self.blobs else {"actions": actions}))
        return Answer(200, {"transfer": "basic", "objects": objects})

    def _put(self, request: Request, query: object) -> Answer:
        oid = hashlib.sha256(request.body).hexdigest()
        if request.path != f"/lfs/{oid}":
            return Answer(400, {"error": "sum"})
        self.blobs[oid] = request.body
        return Answer(200)

    def _verify(self, request: Request, query: object) -> Answer:
        said = msgspec.json.decode(request.body)
        return Answer(200 if len(self.blobs.get(said["oid"], b"")) == said["size"] else 404, {})

    def _commit(self, request: Request, query: dict[str, list[str]]) -> Answer:
        files = dict(self.main)
        for line in map(msgspec.json.decode, request.body.splitlines()):
            value: dict[str, Any] = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile" and files.pop(value["path"], None) is None:
                return Answer(404, {"error": "A file with this name doesn't exist"}, {"x-error-code": "EntryNotFound"})
        files = {path: data for path, data in files.items() if not path.endswith(tuple(self.forgets))}
        files |= {path: data[::-1] for path, data in files.items() if path.endswith(tuple(self.alters))}
        if "create_pr" in query:
            self.proposed = files
            oid, more = "f" * 40, {"pullRequestUrl": f"{self.url}/datasets/{REPO}/discussions/1"}
        else:
            self.commits.append(files)
            oid, more = self._oid(len(self.commits) - 1), {}
        return Answer(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/datasets/{REPO}/commit/{oid}", **more})

    def _ask(self, request: Request, query: object) -> Answer:
        revision = unquote(urlsplit(request.path).path.rpartition("/")[2])
        known: dict[str, dict[str, bytes]] = {self._oid(place): files for place, files in enumerate(self.commits)}
        known |= {"main": self.main} | ({} if self.proposed is None else {"refs/pr/1": self.proposed})
        if revision not in known:
            return Answer(404, {"error": "Invalid rev id"}, {"x-error-code": "RevisionNotFound"})
        paths = parse_qs(request.body.decode())["paths"]
        return Answer(200, [told for path in paths if (told := self._told(known[revision], path))])

    def _told(self, files: dict[str, bytes], path: str) -> dict[str, Any] | None:
        if (data := files.get(path)) is None:
            return None
        told = {"type": "file", "path": path, "size": len(data), "oid": git(data)}
        if len(data) >= LARGE:
            pointer = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            told |= {"oid": git(b"pointer"), "lfs": pointer}
        return told

    @staticmethod
    def _oid(place: int) -> str:
        return hashlib.sha1(b"%d" % place).hexdigest()


def git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
