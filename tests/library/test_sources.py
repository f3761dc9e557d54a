"""What is taken from a file, a folder and a real repository, and that a hostile one can do nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.errors import HarnessError, RecipeError, UsageError
from harness.hosts.local import LocalHost
from harness.library import git as ours
from harness.library import sources
from harness.library.sources import Source
from tests.library.repositories import commit, git, recipe, repository


def read(source: str | Path, *, offline: bool = True) -> Source:
    return sources.read(LocalHost(), str(source), offline=offline)


def taken(source: Source) -> dict[str, str | bytes]:
    return {file.path: file.why or file.data or b"" for file in source.files}


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/a.yaml").write_text(recipe("a"))
    (tmp_path / "b.yml").write_bytes(b"model: x\r\n")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/c.yaml").write_text("x")
    (tmp_path / "big.yaml").write_text("#" * 300_000)
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    assert taken(read(tmp_path)) == {
        "b.yml": b"model: x\r\n",
        "big.yaml": "larger than 256 KiB",
        "deep/er/a.yaml": recipe("a").encode(),
        "link.yaml": "not a file of its own, but a link",
    }
    assert read(tmp_path / "b.yml") == Source(name=str(tmp_path / "b.yml"), commit=None, files=read(tmp_path / "b.yml").files)
    with pytest.raises(RecipeError, match="no such file, folder or repository"):
        read(tmp_path / "gone.yaml")


def test_a_repository_comes_byte_for_byte(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "recipes/a.yaml": recipe("a"),
        "recipes/crlf.yaml": b"model: x $Id$\r\ncommand: y\r\n",
        "recipes/ä ö.yaml": "model: ü\n",
        "recipes/latin.yaml": b"model: \xe9\n",
        "big.yaml": "#" * 300_000,
        ".sparkrun/registry.yaml": "registries: []\n",
        ".github/ci.yaml": "x: 1\n",
        "README.md": "x",
        ".gitattributes": "*.yaml ident export-ignore\n",
    }
    address = repository(tmp_path / "repo", files)
    found = read(address)
    assert found.commit == git(tmp_path / "repo", "rev-parse", "HEAD")
    assert taken(found) == {
        ".sparkrun/registry.yaml": b"registries: []\n",
        "big.yaml": "larger than 256 KiB",
        "recipes/a.yaml": recipe("a").encode(),
        "recipes/crlf.yaml": b"model: x $Id$\r\ncommand: y\r\n",
        "recipes/latin.yaml": "not UTF-8 text",
        "recipes/ä ö.yaml": "model: ü\n".encode(),
    }


def test_nothing_of_a_repository_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks, filters and links of the repository, and hooks and templates of the user's own settings."""
    proof = tmp_path / "proof"
    hook = f"#!/bin/sh\ntouch {proof}\n"
    address = repository(tmp_path / "repo", {"a.yaml": recipe("a"), ".gitattributes": "*.yaml filter=evil\n"})
    for name in ("post-checkout", "post-merge", "pre-push", "reference-transaction", "post-upload-pack"):
        for folder in (tmp_path / "repo/.git/hooks", tmp_path / "hooks", tmp_path / "template/hooks"):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(hook)
            (folder / name).chmod(0o755)
    git(tmp_path / "repo", "config", "uploadpack.packObjectsHook", f"touch {proof}; git")
    (tmp_path / ".gitconfig").write_text(
        f'[core]\nhooksPath = {tmp_path}/hooks\n[init]\ntemplateDir = {tmp_path}/template\n[filter "evil"]\nsmudge = touch {proof}\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert taken(read(address)) == {"a.yaml": recipe("a").encode()}
    assert not proof.exists()
    subprocess.run(["git", "clone", "-q", address, str(tmp_path / "plain")], check=True, capture_output=True)
    assert proof.exists(), "a plain clone runs them: the test shows something"


def test_links_and_paths_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    repository(folder, {"a.yaml": recipe("a")})
    blob = git(folder, "hash-object", "-w", "--stdin", data=b"/etc/passwd")
    tree = git(
        folder,
        "mktree",
        data=f"120000 blob {blob}\tlink.yaml\n100644 blob {blob}\t..\\x.yaml\n160000 commit {'1' * 40}\tsub.yaml\n".encode(),
    )
    made = git(folder, "commit-tree", tree, "-m", "x")
    git(folder, "update-ref", "refs/heads/main", made)
    found = taken(read(folder.as_uri()))
    assert found["link.yaml"] == found["sub.yaml"] == "not a file of its own, but a link"
    assert not any(".." in Path(path).parts for path in found)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("file:///nowhere/at/all", "git cannot read it: fatal: '/nowhere/at/all' does not appear to be a git repository"),
        ("ext::sh -c touch% /tmp/proof", "no such file, folder or repository"),
        ("git://127.0.0.1/x", "git cannot read it: fatal: transport 'git' not allowed"),
        ("http://127.0.0.1:1/x", "git cannot read it: fatal: transport 'http' not allowed"),
        ("ext://sh", "git cannot read it: fatal: transport 'ext' not allowed"),
        ("--upload-pack=touch", "no such file, folder or repository"),
        ("https://me:secret@127.0.0.1:1/x", "https://127.0.0.1:1/x: git cannot read it"),
    ],
)
def test_what_cannot_be_read(address: str, said: str) -> None:
    with pytest.raises(HarnessError) as caught:
        read(address, offline=False)
    assert said in caught.value.message
    assert "secret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("address", ["https://example.org/x.git", "git@example.org:a/b", "ssh://example.org/x", "ext://x"])
def test_the_network_is_kept_off(address: str) -> None:
    with pytest.raises(UsageError, match="it is on the network, which --offline or HF_HUB_OFFLINE keeps off"):
        read(address, offline=True)


def test_a_large_repository_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = repository(tmp_path / "repo", {"a.yaml": recipe("a"), "weights.bin": os.urandom(2 << 20)})
    monkeypatch.setattr(ours, "LARGEST", 1 << 20)  # the limit itself, not what keeps it
    with pytest.raises(RecipeError, match="git cannot read it"):
        read(address)


def test_secrets_of_an_address_are_not_stored() -> None:
    assert ours.without_secret("https://me:x@host/a.git") == "https://host/a.git"
    assert ours.without_secret("git@host:a/b") == "git@host:a/b"
    assert ours.without_secret("ssh://git@host/a") == "ssh://git@host/a"


def test_only_the_newest_commit_comes(tmp_path: Path) -> None:
    address = repository(tmp_path / "repo", {"a.yaml": recipe("a")})
    newest = commit(tmp_path / "repo", {"a.yaml": recipe("b")})
    found = read(address)
    assert (found.commit, taken(found)) == (newest, {"a.yaml": recipe("b").encode()})
