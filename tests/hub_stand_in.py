"""A stand-in of the Hugging Face hub on loopback: the routes that a download uses, and its faults.

    with StandIn() as hub:
        hub.add("owner/repo", {"model.safetensors": data})
        run(..., env=hub.environment(tmp_path))

As on the hub, large files are redirected to another host, which alone serves ranges, and their
ETag is a sha256; small ones come at once, with git's sha1.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGE = 2000  # bytes; from here on a file is in large-file storage
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
COMMITS = re.compile(r"/api/models/([^/]+/[^/]+)/commits/([^/]+)")
RANGE = re.compile(r"bytes=(\d+)-")


@dataclass
class Repo:
    """Commits by id, the newest last; each holds all files."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def at(self, revision: str) -> str | None:
        commit = self.head if revision == "main" else revision
        return commit if commit in self.commits else None


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    start: int  # of the range; 0 without one
    token: str | None


class StandIn:
    """The server; `cuts`, `lies` and `holds` are its faults."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.seen: list[Seen] = []
        self.cuts: dict[str, list[int]] = {}  # file name -> bytes after which a reply ends
        self.lies: dict[str, bytes] = {}  # file name -> what is sent in place of it
        self.holds: dict[str, threading.Event] = {}  # file name -> awaited after half of a reply
        self.ranges = True  # False: a range is ignored, as some mirrors do
        self.files: dict[str, tuple[str, bytes]] = {}  # sha256 -> name, content
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on nobody answers; stopping twice does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def add(self, repo: str, files: Mapping[str, bytes]) -> str:
        """A commit with these files; returns its id."""
        known = self.repos.setdefault(repo, Repo())
        content = [repo, len(known.commits), [(n, _sha256(d)) for n, d in sorted(files.items())]]
        commit = hashlib.sha1(json.dumps(content).encode()).hexdigest()
        known.commits[commit] = dict(files)
        return commit

    def add_folder(self, folder: Path) -> None:
        """Every repository of a folder in hub layout, owner/repo/file."""
        for repo in sorted(p for p in folder.glob("*/*") if p.is_dir()):
            files = {
                p.relative_to(repo).as_posix(): p.read_bytes()
                for p in repo.rglob("*")
                if p.is_file()
            }
            self.add(repo.relative_to(folder).as_posix(), files)

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """The variables of a process that uses this hub, with its cache in `home`."""
        mine = {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
        }
        inherited = {k: v for k, v in os.environ.items() if k not in {"HF_TOKEN", "HF_HUB_CACHE"}}
        return inherited | mine | more

    def starts(self, name: str) -> list[int]:
        """Where each transfer of a file began."""
        wanted = {sha for sha, (known, _) in self.files.items() if known == name}
        return [
            s.start for s in self.seen if s.method == "GET" and s.path.rpartition("/")[2] in wanted
        ]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _handler(hub: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            found = RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(found[1]) if found else 0
            token = self.headers.get("Authorization")
            hub.seen.append(Seen(self.command, self.path, start, token))
            if match := RESOLVE.fullmatch(self.path):
                self._resolve(*match.groups())
            elif match := COMMITS.fullmatch(self.path):
                self._commits(match[1])
            elif self.path.startswith("/storage/"):
                self._send(*hub.files[self.path.rpartition("/")[2]], start)
            else:
                self._refuse("EntryNotFound")

        def _resolve(self, repo: str, revision: str, name: str) -> None:
            commit = hub.repos[repo].at(revision) if repo in hub.repos else None
            files = hub.repos[repo].commits[commit] if commit else {}
            if repo not in hub.repos:
                self._refuse("RepoNotFound")
            elif commit is None:
                self._refuse("RevisionNotFound")
            elif name not in files:
                self._refuse("EntryNotFound")
            elif len(data := files[name]) < LARGE:
                git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                self._send(name, data, 0, {"X-Repo-Commit": commit, "ETag": f'"{git}"'})
            else:
                self._redirect(name, data, commit)

        def _redirect(self, name: str, data: bytes, commit: str) -> None:
            sha256 = _sha256(data)
            hub.files[sha256] = (name, data)
            headers = {
                "X-Repo-Commit": commit,
                "Location": f"http://localhost:{hub.port}/storage/{sha256}",
                "X-Linked-ETag": f'"{sha256}"',
                "X-Linked-Size": str(len(data)),
                "Content-Length": "0",
            }
            self._head(302, headers)

        def _commits(self, repo: str) -> None:
            date = "2026-01-01T00:00:00.000Z"
            rows = [
                {"id": c, "title": "", "message": "", "date": date, "authors": []}
                for c in reversed(hub.repos[repo].commits)
            ]
            self._send("commits", json.dumps(rows).encode())

        def _send(
            self, name: str, data: bytes, start: int = 0, more: Mapping[str, str] | None = None
        ) -> None:
            data = hub.lies.get(name, data)
            start = start if hub.ranges else 0
            rest = data[start:]
            headers = {"Content-Length": str(len(rest))} | dict(more or {})
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._head(206 if start else 200, headers)
            if self.command == "HEAD":
                return
            cuts = hub.cuts.get(name, [])
            if cuts:
                self.wfile.write(rest[: cuts.pop(0)])
                self.close_connection = True
                return
            half = len(rest) // 2
            self.wfile.write(rest[:half])
            if name in hub.holds:
                hub.holds[name].wait(60)
            self.wfile.write(rest[half:])

        def _refuse(self, code: str) -> None:
            self._head(404, {"X-Error-Code": code, "Content-Length": "0"})

        def _head(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

    return Handler


@contextmanager
def serving(folder: Path) -> Iterator[StandIn]:
    """A hub that holds the repositories of a folder in hub layout."""
    with StandIn() as hub:
        hub.add_folder(folder)
        yield hub
