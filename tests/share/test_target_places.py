"""Folders and repositories: what is said to be there is there, to the byte, and nothing else went along."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from harness.errors import MachineError, UsageError
from harness.schema.bundle import Entry
from harness.schema.consent import Receipt
from harness.share.parcel import Answer, Parcel, Target
from harness.share.targets import TARGETS
from tests.share.sitting import Place

FILES = {"run-abc/recipe.yaml": b"a: 1\r\nb: 2\n", "run-abc/bundle.tar": bytes(range(256)) * 64}
SAID: list[str] = []


def parcel(target: str, where: Path | str, submission: str = "abc234") -> Parcel:
    return Parcel(target=target, where=str(where), submission=submission, result="r", files=FILES)


def send(it: Parcel) -> Answer:
    return TARGETS[it.target].send(it, {}, frozenset(), SAID.append)


def receipt(it: Parcel) -> Receipt:
    target: Target = TARGETS[it.target]
    return Receipt(
        id="i",
        result="r",
        target=it.target,
        where=it.where,
        audience=target.audience(it.where),
        submission=it.submission,
        sha256=it.sha256,
        files={name: Entry(len(data), hashlib.sha256(data).hexdigest()) for name, data in it.files.items()},
        consent="terminal",
        began="2026",
    )


class TestFile:
    def test_it_is_there_to_the_byte(self, tmp_path: Path) -> None:
        for _ in range(2):  # a second time it is there already
            answer = send(parcel("file", tmp_path))
            assert (answer.confirmed, answer.missing, set(answer.sent)) == (True, (), set(FILES))
            found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
            assert found == FILES

    def test_what_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "run-abc").mkdir()
        (tmp_path / "run-abc" / "recipe.yaml").write_text("mine")
        answer = send(parcel("file", tmp_path))
        assert (answer.confirmed, answer.missing, answer.sent) == (False, ("run-abc/recipe.yaml",), ("run-abc/bundle.tar",))
        assert "other content is there" in answer.said
        assert (tmp_path / "run-abc" / "recipe.yaml").read_text() == "mine"

    def test_what_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "run-abc").write_text("a file, where a folder would have to be")
        answer = send(parcel("file", tmp_path))
        assert (answer.confirmed, answer.missing) == (False, tuple(FILES))
        assert "run-abc/bundle.tar: File exists" in answer.said
        assert os.listdir(tmp_path) == ["run-abc"]

    def test_a_folder_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no such folder"):
            TARGETS["file"].audience(str(tmp_path / "stick"))

    def test_withdrawing(self, tmp_path: Path) -> None:
        it = parcel("file", tmp_path)
        send(it)
        (tmp_path / "run-abc" / "recipe.yaml").write_text("changed since")
        answer = TARGETS["file"].withdraw(receipt(it), {}, SAID.append)
        assert (answer.confirmed, "it is not what was written" in answer.said) == (False, True)
        (tmp_path / "run-abc" / "recipe.yaml").write_bytes(FILES["run-abc/recipe.yaml"])
        assert TARGETS["file"].withdraw(receipt(it), {}, SAID.append).confirmed
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def git(path: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(path), *words], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a commit, whose branch is pushed to a bare one."""
    path, other = tmp_path / "clone", tmp_path / "other.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True)
    git(path, "config", "user.name", "Somebody")
    git(path, "config", "user.email", "somebody@example.org")
    (path / "README").write_text("mine\n")
    git(path, "add", "README")
    git(path, "commit", "-q", "-m", "first")
    git(path, "remote", "add", "origin", str(other))
    git(path, "push", "-q", "-u", "origin", "main")
    return path


class TestGit:
    def test_a_commit_has_these_files_and_no_others(self, clone: Path) -> None:
        (clone / "staged").write_text("not yet")
        git(clone, "add", "staged")
        (clone / "README").write_text("changed\n")
        answer = send(parcel("git", clone))
        assert answer.confirmed, answer.said
        assert git(clone, "rev-parse", "HEAD") in answer.reference
        assert git(clone, "show", "--name-only", "--format=", "HEAD").split() == sorted(FILES)
        for name, data in FILES.items():
            assert subprocess.run(["git", "-C", str(clone), "show", f"HEAD:{name}"], capture_output=True).stdout == data
        assert git(clone, "status", "--short").split() == ["M", "README", "A", "staged"]
        assert git(clone, "log", "-1", "--format=%an %ae") == "Somebody somebody@example.org"
        assert git(clone, "rev-parse", "origin/main") == git(clone, "rev-parse", "HEAD~"), "nothing was pushed"

    def test_a_second_time_it_is_the_same_commit(self, clone: Path) -> None:
        assert send(parcel("git", clone)).reference == send(parcel("git", clone)).reference

    def test_who_is_shown_is_who_gets_it(self, clone: Path, tmp_path: Path) -> None:
        told = TARGETS["git"].audience(str(clone))
        assert f"branch main of {clone}, by Somebody <somebody@example.org>" in told.to
        assert "nothing is pushed" in told.seen_by
        told = TARGETS["git"].audience(f"{clone}?push")
        assert f"pushed to branch main of {tmp_path / 'other.git'}" in told.to
        git(clone, "remote", "set-url", "--push", "origin", "https://ann:pw@example.org/x")
        assert TARGETS["git"].audience(f"{clone}?push") != told
        assert "ann:pw" not in TARGETS["git"].audience(f"{clone}?push").to

    def test_a_push_is_confirmed_by_the_other_side(self, clone: Path, tmp_path: Path) -> None:
        answer = send(parcel("git", f"{clone}?push"))
        assert answer.confirmed, answer.said
        assert git(tmp_path / "other.git", "rev-parse", "main") == git(clone, "rev-parse", "HEAD")

    def test_other_commits_are_not_pushed_along(self, clone: Path, tmp_path: Path) -> None:
        git(clone, "commit", "-q", "--allow-empty", "-m", "a thought of mine")
        before = git(clone, "rev-parse", "HEAD")
        with pytest.raises(MachineError, match="other commits that were not looked at"):
            send(parcel("git", f"{clone}?push"))
        assert git(clone, "rev-parse", "HEAD") == before
        assert not (clone / "run-abc").exists()
        assert git(tmp_path / "other.git", "rev-parse", "main") == git(clone, "rev-parse", "HEAD~")

    def test_what_a_hook_adds_is_not_pushed(self, clone: Path, tmp_path: Path) -> None:
        hook = clone / ".git" / "hooks" / "pre-commit"
        hook.write_text("#!/bin/sh\necho secret > extra && git add extra\n")
        hook.chmod(0o755)
        answer = send(parcel("git", f"{clone}?push"))
        assert (answer.confirmed, "not pushed: a hook added extra" in answer.said) == (False, True)
        assert git(tmp_path / "other.git", "rev-parse", "main") == git(clone, "rev-parse", "HEAD~")

    def test_a_push_that_fails_is_tried_again_with_the_same_commit(self, clone: Path, tmp_path: Path) -> None:
        (tmp_path / "other.git").rename(tmp_path / "away.git")
        answer = send(parcel("git", f"{clone}?push"))
        assert (answer.confirmed, answer.missing) == (False, tuple(FILES))
        assert "committed as" in answer.said
        assert "not pushed: git push: fatal" in answer.said
        (tmp_path / "away.git").rename(tmp_path / "other.git")
        again = send(parcel("git", f"{clone}?push"))
        assert again.confirmed, again.said
        assert answer.reference in again.reference

    def test_a_push_that_the_other_side_undoes_is_not_confirmed(self, clone: Path, tmp_path: Path) -> None:
        hook = tmp_path / "other.git" / "hooks" / "post-receive"
        hook.write_text("#!/bin/sh\ngit update-ref refs/heads/main main~\n")
        hook.chmod(0o755)
        answer = send(parcel("git", f"{clone}?push"))
        assert (answer.confirmed, answer.missing) == (False, tuple(FILES))
        assert "does not say that branch main is at commit" in answer.said

    def test_bytes_that_git_changes_are_not_confirmed(self, clone: Path) -> None:
        (clone / ".git" / "info" / "attributes").write_text("*.yaml text eol=lf\n")
        answer = send(parcel("git", clone))
        assert (answer.confirmed, "does not hold these bytes" in answer.said) == (False, True)

    def test_a_commit_that_is_refused_leaves_nothing(self, clone: Path) -> None:
        hook = clone / ".git" / "hooks" / "pre-commit"
        hook.write_text("#!/bin/sh\necho no results here >&2; exit 1\n")
        hook.chmod(0o755)
        with pytest.raises(MachineError, match="no results here"):
            send(parcel("git", clone))
        assert git(clone, "status", "--short") == ""
        hook.unlink()
        assert send(parcel("git", clone)).confirmed

    def test_what_is_there_is_not_overwritten(self, clone: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (clone / "run-abc").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(MachineError, match="a link leads elsewhere"):
            send(parcel("git", clone))
        assert os.listdir(tmp_path / "elsewhere") == []

    def test_variables_do_not_choose_the_repository(self, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = tmp_path / "third"
        subprocess.run(["git", "init", "-q", str(other)], check=True)
        with monkeypatch.context() as environment:
            environment.setenv("GIT_DIR", str(other / ".git"))
            environment.setenv("GIT_WORK_TREE", str(other))
            assert send(parcel("git", clone)).confirmed
        assert "spark-harness" in git(clone, "log", "-1", "--format=%s")

    @pytest.mark.parametrize("push", ["", "?push"])
    def test_withdrawing_says_what_stays(self, clone: Path, tmp_path: Path, push: str) -> None:
        it = parcel("git", f"{clone}{push}")
        assert send(it).confirmed
        answer = TARGETS["git"].withdraw(receipt(it), {}, SAID.append)
        assert (answer.confirmed, "the history has the files still" in answer.said) == (False, True)
        assert git(clone, "ls-files") == "README"
        same = git(tmp_path / "other.git", "rev-parse", "main") == git(clone, "rev-parse", "HEAD")
        assert same == bool(push)

    def test_what_is_no_clone(self, tmp_path: Path, clone: Path) -> None:
        with pytest.raises(UsageError, match="not a git repository"):
            TARGETS["git"].audience(str(tmp_path))
        git(clone, "checkout", "-q", "--detach")
        with pytest.raises(UsageError, match="not a symbolic ref"):
            TARGETS["git"].audience(str(clone))

    def test_nobody_is_asked_before_somebody_agreed(self, clone: Path, tmp_path: Path) -> None:
        place = Place(tmp_path / "place")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            git(clone, "remote", "set-url", "origin", f"git://127.0.0.1:{listener.getsockname()[1]}/x")
            with place.sit("latest", "--to", f"git:{clone}?push") as sitting:
                phrase = sitting.phrase()
                with pytest.raises(BlockingIOError):
                    listener.accept()
                sitting.type(phrase)
                listener.settimeout(30)
                listener.accept()[0].close()
                code, seen = sitting.end()
        assert (code, "not pushed" in seen) == (14, True)


def test_every_byte_of_a_parcel_has_a_field(tmp_path: Path) -> None:
    """Names and sums that a preview shows are those of what is sent."""
    it = parcel("file", tmp_path)
    assert {name: entry.bytes for name, entry in receipt(it).files.items()} == {name: len(data) for name, data in FILES.items()}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(it), type=Parcel) == it
