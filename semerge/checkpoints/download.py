"""Fetching the files of a published suite: announced, resumable, pinned, hashed."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from semerge.checkpoints.files import (
    COMMIT,
    SHORT_COMMIT,
    Lock,
    Pin,
    git_sha1_of,
    hub_folder,
    locate,
    lock_file,
    missing_files,
    not_here,
    read_lock,
    repo_folder,
    sha256_of,
    write_lock,
)
from semerge.common import Progress, UserError, first_line, gigabytes, silent
from semerge.suites import published_suites, read_suite
from semerge.suites.suite import Source, Suite

ATTEMPTS = 4  # connections without a single new byte, before the download gives up
PAUSE = 1.0  # seconds between them
RESERVE = 200_000_000  # bytes that stay free on the disk
SHA256_DIGITS, GIT_DIGITS = 64, 40


@dataclass(frozen=True)
class Remote:
    """One file that is still to be fetched."""

    name: str  # its path in suite.json
    source: Source
    pin: Pin

    @property
    def blob(self) -> Path:
        """Where the cache keeps the content: under its digest."""
        return repo_folder(self.source) / "blobs" / self.pin.digest

    @property
    def partial(self) -> Path:
        return self.blob.with_name(f"{self.blob.name}.partial")

    @property
    def here(self) -> int:
        """Bytes that are on this disk already."""
        if self.blob.is_file():
            return self.pin.size
        return self.partial.stat().st_size if self.partial.is_file() else 0


def download(
    suite: Suite, announce: Callable[[str], None] = lambda text: None, progress: Progress = silent
) -> Suite:
    """Fetch what is missing of a suite, and return it with every file located.

    announce: gets a sentence on what is about to be fetched. progress: gets bytes that are here,
    bytes in all, and the file that is coming. Raises UserError where there is no network, not
    enough room, another file than the pinned one, or a connection that stays away. What has been
    fetched stays for the next time.
    """
    from huggingface_hub import constants

    missing = missing_files(suite)
    if not missing:
        announce(f"{suite.name}: all {len(suite.sources)} files are on this disk.")
        return locate(suite)
    if constants.HF_HUB_OFFLINE:
        size = sum(suite.sources[name].size for name in missing)
        raise UserError(f"{not_here(suite, size)}; start with HF_HUB_OFFLINE=0 to fetch it here.")
    remotes = _plan(suite, missing)
    total = sum(remote.pin.size for remote in remotes)
    here = sum(remote.here for remote in remotes)
    _check_room(suite, remotes, total, here, announce)
    for remote in remotes:
        before = here - remote.here

        def report(done: int, before: int = before, name: str = remote.name) -> None:
            progress(before + done, total, name)

        _fetch(remote, report)
        here = before + remote.pin.size
    return locate(suite)


def _plan(suite: Suite, missing: tuple[str, ...]) -> list[Remote]:
    """Ask the hub for commit, size and digest of each file, and pin them."""
    lock = read_lock(suite)
    commits = {_key(suite.sources[name]): pin.commit for name, pin in lock.items()}
    found: Lock = {}
    for name in missing:
        source = suite.sources[name]
        with _told(f"{source.repo}/{source.file}"):
            key = _key(source)
            revision = commits.get(key) or _revision(source)
            commits[key], pin = _ask(source, revision)
        _check_pin(suite, name, lock.get(name), pin)
        found[name] = pin
    write_lock(suite, lock | found)
    return [Remote(name, suite.sources[name], pin) for name, pin in found.items()]


def _key(source: Source) -> tuple[str, str]:
    """Files of one revision of one repository are of one commit."""
    return source.repo, source.revision


def _revision(source: Source) -> str:
    """What the hub is asked for: it knows branches and whole commits, not the beginning of one."""
    if COMMIT.fullmatch(source.revision) or not SHORT_COMMIT.fullmatch(source.revision):
        return source.revision
    from huggingface_hub import HfApi

    commits = [c.commit_id for c in HfApi().list_repo_commits(source.repo)]
    matching = [c for c in commits if c.startswith(source.revision)]
    if len(matching) != 1:
        raise UserError(f"{source.repo} has no commit {source.revision} on the hub.")
    return str(matching[0])


def _ask(source: Source, revision: str) -> tuple[str, Pin]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    found = get_hf_file_metadata(hf_hub_url(source.repo, source.file, revision=revision))
    if not found.commit_hash or not found.etag or found.size is None:
        raise UserError(f"the hub states no commit, hash or size of {source.repo}/{source.file}.")
    if len(found.etag) not in (SHA256_DIGITS, GIT_DIGITS):
        raise UserError(f"the hub's hash of {source.repo}/{source.file} is of no known kind.")
    return found.commit_hash, Pin(found.commit_hash, found.size, found.etag)


def _check_pin(suite: Suite, name: str, locked: Pin | None, pin: Pin) -> None:
    if locked is not None and locked != pin:
        raise UserError(
            f"{name} is no longer what it was when {suite.name} was first downloaded; delete "
            f"{lock_file(suite)} to take the new one."
        )
    wanted = suite.sources[name].sha256
    if wanted is not None and wanted != pin.digest:
        raise UserError(
            f"{name} on the hub is not the file that suite.json describes: its hash is "
            f"{pin.digest[:12]}..., not {wanted[:12]}...."
        )


def _check_room(
    suite: Suite, remotes: list[Remote], total: int, here: int, announce: Callable[[str], None]
) -> None:
    folder = hub_folder()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    announce(
        f"{suite.name}: {len(remotes)} of {len(suite.sources)} files, {gigabytes(total)}, of which "
        f"{gigabytes(total - here)} are to be fetched; {gigabytes(free)} are free in "
        f"{hub_folder()}."
    )
    if total - here + RESERVE > free:
        raise UserError(
            f"{suite.name} needs {gigabytes(total - here)} in {hub_folder()} and "
            f"{gigabytes(RESERVE)} to spare, but {gigabytes(free)} are free; set HF_HOME to "
            "another disk."
        )


def _fetch(remote: Remote, report: Callable[[int], None]) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import WeakFileLock

    remote.partial.parent.mkdir(parents=True, exist_ok=True)
    # the app and the command line may want the same file at the same time
    with WeakFileLock(remote.partial.with_suffix(".lock")):
        if not remote.blob.is_file():
            _bring(remote, report)
            _check_arrived(remote)
            remote.partial.replace(remote.blob)
    report(remote.pin.size)
    with _told(remote.name):
        # the content is there, so this only enters it under its commit and name
        hf_hub_download(remote.source.repo, remote.source.file, revision=remote.pin.commit)


def _check_arrived(remote: Remote) -> None:
    git = len(remote.pin.digest) == GIT_DIGITS
    digest = git_sha1_of(remote.partial) if git else sha256_of(remote.partial)
    if digest != remote.pin.digest:
        remote.partial.unlink()
        raise UserError(
            f"{remote.name} did not arrive whole: its hash is {digest[:12]}..., not "
            f"{remote.pin.digest[:12]}...; it was deleted, please download again."
        )


def _bring(remote: Remote, report: Callable[[int], None]) -> None:
    """Fill the partial file; a connection that is cut is taken up again where it ended."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    idle = 0
    while (start := remote.here) < remote.pin.size or start == 0:
        report(start)
        try:
            _stream(remote, start, report)
        except HfHubHTTPError as error:
            raise UserError(f"{remote.name}: the hub answered {first_line(error)}.") from None
        except (HTTPError, OSError) as error:
            reason = first_line(error)
        else:
            reason = "the connection ended early"
        if remote.here >= remote.pin.size:
            return
        idle = 0 if remote.here > start else idle + 1
        if idle >= ATTEMPTS:
            raise UserError(
                f"{remote.name} stopped at {gigabytes(remote.here)} of "
                f"{gigabytes(remote.pin.size)} ({reason}); the same command goes on from there."
            )
        time.sleep(PAUSE)


def _stream(remote: Remote, start: int, report: Callable[[int], None]) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    source = remote.source
    # the bytes themselves are wanted, or neither range nor size would mean anything
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    url = hf_hub_url(source.repo, source.file, revision=remote.pin.commit)
    with get_session().stream("GET", url, headers=headers, follow_redirects=True) as response:
        hf_raise_for_status(response)
        ranged = response.status_code == 206
        done = start if ranged else 0
        with remote.partial.open("ab" if ranged else "wb") as file:
            for piece in response.iter_bytes():  # as they come: whole pieces would be lost at a cut
                file.write(piece)
                done += len(piece)
                report(min(done, remote.pin.size))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """The hub's refusals as one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(f"{name} is behind a licence on the hub; set HF_TOKEN.") from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{name} is not on the hub, or HF_TOKEN may not read it.") from None
    except (errors.RevisionNotFoundError, errors.EntryNotFoundError):
        raise UserError(f"{name} is not on the hub in the pinned revision.") from None
    except (errors.HTTPError, OSError) as error:
        raise UserError(f"{name}: the hub can't be reached ({first_line(error)}).") from None


# ---- the command ---------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Fetch, and say where to go on. Returns the exit code."""
    suite = read_suite(args.suite)
    if not suite.published:
        names = ", ".join(published_suites())
        raise UserError(f"the weights of {suite.name} are here; suites on the hub are {names}.")
    # nobody watches a bar in a file
    bar = Bar(sys.stderr) if sys.stderr.isatty() else silent
    download(suite, lambda text: print(text, flush=True), bar)
    print(f"{suite.name} is ready: python -m semerge predict --suite {shlex.quote(args.suite)} ...")
    return 0


class Bar:
    """One line on a terminal: a bar over all files, the rate, and the file that is coming."""

    WIDTH = 24

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.started = time.monotonic()
        self.first: int | None = None  # bytes that were here before
        self.shown = 0.0

    def __call__(self, done: int, total: int, name: str) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = done
        if done < total and now - self.shown < 0.2:
            return
        self.shown = now
        filled = round(self.WIDTH * done / max(total, 1))
        rate = (done - self.first) / max(now - self.started, 1e-3)
        bar = "#" * filled + "." * (self.WIDTH - filled)
        text = f"[{bar}] {gigabytes(done)} of {gigabytes(total)}, {gigabytes(rate)}/s  {name[-40:]}"
        end = "\n" if done == total else ""
        print(f"\r{text:100}", end=end, file=self.stream, flush=True)
