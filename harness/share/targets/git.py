"""A repository of the user's on this machine, by their own git: a commit of these files and nothing else, and, if the address ends with
`?push`, that commit pushed to where its branch goes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from harness.errors import MachineError, UsageError
from harness.far import GIT_SSH
from harness.schema.consent import Audience, Receipt
from harness.share.parcel import Answer, Parcel, Shareable

PUSH = "?push"
READ_S, COMMIT_S, PUSH_S = 30, 120, 600
"""A key to sign the commit with may have to be touched; a push carries the bundle."""
TRAILER = "Spark-Harness-Submission"
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_COMMON_DIR")
"""Variables by which git would look at another repository than the one that was named."""
_SILENT = "GIT_TERMINAL_PROMPT=0"

Say = Callable[[str], None]


class Clone(NamedTuple):
    path: Path
    branch: str
    remote: str
    """Its name; empty: nothing is pushed."""
    theirs: str
    """The branch there."""
    urls: tuple[str, ...]
    author: str


class Git:
    def audience(self, where: str) -> Audience:
        clone = _clone(where)
        commit = f"a commit on branch {clone.branch} of {clone.path}, by {clone.author}, with time and time zone"
        if not clone.remote:
            return Audience(
                to=commit,
                seen_by="whoever can read that repository; nothing is pushed, but your next push will carry it",
                terms="none: it is your repository; its hooks run",
                withdrawal="harness share withdraw commits the removal; the history keeps the files",
            )
        urls = ", ".join(map(_without_password, clone.urls))
        return Audience(
            to=f"{commit}; pushed to branch {clone.theirs} of {urls}",
            seen_by=f"whoever can read {urls}: if it is public, everybody",
            terms="those of whoever runs that server; only this one commit is pushed, and your hooks run",
            withdrawal="harness share withdraw commits the removal and pushes it; the history and other people's clones keep the files",
        )

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        return {f"{shareable.name}/recipe.yaml": shareable.recipe.encode(), f"{shareable.name}/bundle.tar": shareable.bundle}

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        _alone(_clone(parcel.where), parcel.submission)

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Say) -> Answer:
        self.check(parcel, secrets)
        clone, names = _clone(parcel.where), tuple(parcel.files)
        if not _has(clone, parcel):
            say(f"Committing to {clone.path}")
            _commit(clone, parcel)
        commit = _git(clone.path, "rev-parse", "HEAD").strip()
        if not _has(clone, parcel):
            why = f"commit {commit} does not hold these bytes: a filter of the repository, or a hook, changed them"
            return Answer(confirmed=False, said=why, reference=commit, missing=names)
        if not clone.remote:
            return Answer(
                confirmed=True, said=f"commit {commit} holds these bytes", reference=f"{clone.path} {commit}", sent=names
            )
        if others := _others(clone, parcel.submission) or _besides(clone, commit, parcel):
            why = f"committed as {commit}, but not pushed: a hook added {', '.join(others[:3])}"
            return Answer(confirmed=False, said=why, reference=commit, missing=names)
        return _pushed(clone, commit, names, say)

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Answer:
        clone, names = _clone(receipt.where), tuple(receipt.files)
        _alone(clone, receipt.submission)
        if _git(clone.path, "ls-files", "--", *names):
            _git(clone.path, "rm", "--quiet", "--", *names)
            message = f"Takes {names[0].partition('/')[0]} back\n\n{TRAILER}: {receipt.submission}\n"
            _git(clone.path, "commit", "--quiet", "--only", f"--message={message}", "--", *names, limit_s=COMMIT_S)
        commit = _git(clone.path, "rev-parse", "HEAD").strip()
        said = f"removed as of commit {commit}; the history has the files still"
        if clone.remote and not (push := _pushed(clone, commit, names, say)).confirmed:
            said = f"{said}; {push.said}"
        return Answer(confirmed=False, said=said, reference=commit)


def _clone(where: str) -> Clone:
    """What git says of it, without a network. Raises `UsageError`."""
    place, push = Path(where.removesuffix(PUSH)), where.endswith(PUSH)
    named = f"--to git:{where}"
    try:
        path = Path(_git(place, "rev-parse", "--show-toplevel").strip())
    except MachineError as error:
        raise UsageError(f"{named}: {error.message}", "name a clone of yours on this machine, with a work tree") from None
    try:
        branch = _git(path, "symbolic-ref", "--short", "HEAD").strip()
        author = re.sub(r" \d+ [+-]\d+$", "", _git(path, "var", "GIT_AUTHOR_IDENT").strip())
    except MachineError as error:
        raise UsageError(f"{named}: {error.message}", "be on a branch, and tell git user.name and user.email") from None
    if not push:
        return Clone(path, branch, "", "", (), author)
    try:
        remote = _git(path, "config", f"branch.{branch}.remote").strip()
        theirs = _git(path, "config", f"branch.{branch}.merge").strip().removeprefix("refs/heads/")
        urls = tuple(_git(path, "remote", "get-url", "--push", "--all", remote).split())
    except MachineError:
        raise UsageError(
            f"{named}: branch {branch} has no branch elsewhere to be pushed to", f"push it once: git push -u origin {branch}"
        ) from None
    return Clone(path, branch, remote, theirs, urls, author)


def _alone(clone: Clone, submission: str) -> None:
    """Raises `MachineError` where more would be pushed than was looked at."""
    if clone.remote and (others := _others(clone, submission)):
        raise MachineError(
            f"{clone.path}: a push would carry other commits that were not looked at: {', '.join(others[:3])}",
            "push them yourself first, or share without ?push",
        )


def _others(clone: Clone, submission: str) -> list[str]:
    """Commits that the other side is not known to have, and that are not of this submission."""
    log = _git(
        clone.path, "log", "--no-show-signature", "--format=%h%x00%B%x01", f"refs/remotes/{clone.remote}/{clone.theirs}..HEAD"
    )
    commits = [entry.strip().partition("\0") for entry in log.split("\x01") if entry.strip()]
    return [name for name, _, message in commits if f"{TRAILER}: {submission}" not in message.splitlines()]


def _besides(clone: Clone, commit: str, parcel: Parcel) -> list[str]:
    """Files of the commit that are none of the parcel's."""
    found = _git(clone.path, "diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", commit)
    return sorted(set(found.split("\0")[:-1]) - set(parcel.files))


def _commit(clone: Clone, parcel: Parcel) -> None:
    """Raises `MachineError`; the repository is then as it was."""
    names = tuple(parcel.files)
    message = f"{names[0].partition('/')[0]}: a result of spark-harness\n\n{TRAILER}: {parcel.submission}\n"
    for name in names:
        path = clone.path / name
        if path.exists() or path.is_symlink() or path.parent.resolve() != clone.path.resolve() / Path(name).parent:
            raise MachineError(
                f"{path}: something is there already, or a link leads elsewhere", "move it away, and share it again"
            )
    try:
        for name, data in parcel.files.items():
            (clone.path / name).parent.mkdir(parents=True, exist_ok=True)
            (clone.path / name).write_bytes(data)
        _git(clone.path, "add", "--force", "--", *names)
        _git(clone.path, "commit", "--quiet", "--only", f"--message={message}", "--", *names, limit_s=COMMIT_S)
    except (MachineError, OSError) as error:
        _run(clone.path, ("rm", "-r", "--force", "--quiet", "--ignore-unmatch", "--", *names), READ_S)
        for name in names:
            (clone.path / name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MachineError(f"{error.filename}: {error.strerror}", "make the repository writable") from None
        raise


def _has(clone: Clone, parcel: Parcel) -> bool:
    """Whether the newest commit has these very bytes."""
    return all(_blob(clone.path, name) == data for name, data in parcel.files.items())


def _blob(path: Path, name: str) -> bytes | None:
    done = _run(path, ("cat-file", "blob", f"HEAD:{name}"), READ_S)
    return done.stdout if done.returncode == 0 else None


def _pushed(clone: Clone, commit: str, names: tuple[str, ...], say: Say) -> Answer:
    say(f"Pushing to {', '.join(map(_without_password, clone.urls))}")
    to = f"{commit}:refs/heads/{clone.theirs}"
    try:
        _git(clone.path, "push", "--quiet", "--no-follow-tags", "--no-recurse-submodules", clone.remote, to, limit_s=PUSH_S)
        told = [_git(clone.path, "ls-remote", url, f"refs/heads/{clone.theirs}", limit_s=READ_S) for url in clone.urls]
    except MachineError as error:
        why = f"committed as {commit} here, but not pushed: {error.message}"
        return Answer(confirmed=False, said=why, reference=commit, missing=names)
    if all(line.split()[:1] == [commit] for line in told):
        said = f"the other side has branch {clone.theirs} at commit {commit}"
        return Answer(confirmed=True, said=said, reference=f"{_without_password(clone.urls[0])} {commit}", sent=names)
    why = f"pushed, but the other side does not say that branch {clone.theirs} is at commit {commit}"
    return Answer(confirmed=False, said=why, reference=commit, missing=names)


def _git(path: Path, *words: str, limit_s: float = READ_S) -> str:
    """What it prints. Raises `MachineError` with its last words."""
    done = _run(path, words, limit_s)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        said = next((line for line in lines if line.startswith("fatal:")), lines[-1])
        raise MachineError(f"git {words[0]}: {_without_password(said)}", f"try it there yourself: git -C {path} {words[0]} …")
    return done.stdout.decode(errors="replace")


def _run(path: Path, words: tuple[str, ...], limit_s: float) -> subprocess.CompletedProcess[bytes]:
    """Nothing is asked for on the terminal, and no missing object fetched."""
    forget = [word for name in _ELSEWHERE for word in ("-u", name)]
    script = f'export GIT_SSH_COMMAND="{GIT_SSH}" && exec git "$@"'
    argv = ["env", *forget, _SILENT, "GIT_NO_LAZY_FETCH=1", "sh", "-c", script, "git", "-C", os.fspath(path), *words]
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, b"", f"it did not end within {limit_s} s".encode())


def _without_password(text: str) -> str:
    return re.sub(r"(\w+://)[^/\s@]*@", r"\1", text)
