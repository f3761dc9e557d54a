"""What is taken from a file, a folder and a real repository, and that a hostile one can do nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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
    os.mkfifo(tmp_path / "pipe.yaml")
    assert taken(read(tmp_path)) == {
        "b.yml": b"model: x\r\n",
        "big.yaml": "larger than 256 KiB",
        "deep/er/a.yaml": recipe("a").encode(),
        "link.yaml": "not a file of its own, but a link",
        "pipe.yaml": "not a file",
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


def only(folder: Path, tree: str) -> str:
    """The address of a repository whose one commit has this tree."""
    git(folder, "update-ref", "refs/heads/main", git(folder, "commit-tree", tree, "-m", "x"))
    return folder.as_uri()


def test_what_names_more_files_than_anybody_has_is_not_read(tmp_path: Path) -> None:
    """A few trees can name 10^10 files, whose list would fill any memory."""
    folder = tmp_path / "repo"
    repository(folder, {"a.yaml": recipe("a")})
    blob = git(folder, "hash-object", "a.yaml")
    tree = git(folder, "mktree", data="".join(f"100644 blob {blob}\t{n}.yaml\n" for n in range(5001)).encode())
    with pytest.raises(RecipeError, match="more than the 5000 YAML files that are taken"):
        read(only(folder, tree))
    for _ in range(9):
        tree = git(folder, "mktree", data="".join(f"040000 tree {tree}\td{n}\n" for n in range(10)).encode())
    with pytest.raises(RecipeError, match="more than the 5000 YAML files that are taken"):
        read(only(folder, tree))
    (tmp_path / "many").mkdir()
    for n in range(5001):
        (tmp_path / f"many/{n}.yaml").touch()
    with pytest.raises(RecipeError, match="more than the 5000 YAML files that are taken"):
        read(tmp_path / "many")


class Server(BaseHTTPRequestHandler):
    """Wants a password; or answers nothing, where it is asked for that."""

    def do_GET(self) -> None:
        self.send_response(200 if "stall" in self.path else 401)
        self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "100" if "stall" in self.path else "0")
        self.end_headers()
        if "stall" in self.path:
            self.rfile.read(1)  # until git has gone

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address of a server here. Git takes it for an https one by the user's own settings."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}/"
        settings = f'[url "{here}"]\n insteadOf = https://hub.test/\n[protocol "http"]\n allow = always\n'
        (tmp_path / ".gitconfig").write_text(f"{settings}[core]\n askPass = {tmp_path}/ask\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        yield "https://hub.test/"
        server.shutdown()


@pytest.mark.parametrize("variable", ["GIT_ASKPASS", "SSH_ASKPASS", "UNRELATED"])
def test_nobody_is_asked_for_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: str, variable: str) -> None:
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked; echo me\n")
    ask.chmod(0o755)
    monkeypatch.setenv(variable, str(ask))
    with pytest.raises(RecipeError, match=r"fatal: could not read Username for .*: terminal prompts disabled"):
        read(f"{hub}x.git", offline=False)
    assert not (tmp_path / "asked").exists()


def test_a_server_that_falls_silent_ends_it(monkeypatch: pytest.MonkeyPatch, hub: str) -> None:
    monkeypatch.setattr(ours, "STALLED_S", 1)
    with pytest.raises(RecipeError, match=r"Operation too slow"):
        read(f"{hub}stall.git", offline=False)


@pytest.mark.parametrize("chosen", ["", "ssh -i mine"])
def test_ssh_asks_nothing_and_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\necho "Host key verification failed." >&2; exit 255\n')
    ssh.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n sshCommand = {chosen}\n" if chosen else "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(RecipeError, match=r"git cannot read it: Host key verification failed\. fatal: Could not read"):
        read("git@host.test:a/b", offline=False)
    words = (tmp_path / "words").read_text().splitlines()[-1]
    assert words.startswith(chosen.removeprefix("ssh ").lstrip() + (" " if chosen else "") + "-o BatchMode=yes ")


def test_secrets_of_an_address_are_not_stored() -> None:
    assert ours.without_secret("https://me:x@host/a.git") == "https://host/a.git"
    assert ours.without_secret("git@host:a/b") == "git@host:a/b"
    assert ours.without_secret("ssh://git@host/a") == "ssh://git@host/a"


def test_only_the_newest_commit_comes(tmp_path: Path) -> None:
    address = repository(tmp_path / "repo", {"a.yaml": recipe("a")})
    newest = commit(tmp_path / "repo", {"a.yaml": recipe("b")})
    found = read(address)
    assert (found.commit, taken(found)) == (newest, {"a.yaml": recipe("b").encode()})
