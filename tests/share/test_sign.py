"""Signatures by real ssh-keygen: who signed, whether it may be, and what is said where it cannot be known."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from harness import verify
from harness.errors import MachineError, UsageError, VerifyError
from harness.schema.doctor import FAIL, PASS, SKIP, Check
from harness.share import bundle, sign
from harness.share.tar import BLOCK, END, header
from tests.share import forger
from tests.share.make_golden import GOLDEN

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not here (apt install openssh-client)"
)
DATA = b"a manifest\n"


def new_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)], check=True)
    return path


def allowed(folder: Path, **keys: Path) -> Path:
    lines = [f"{name} {key.with_name(f'{key.name}.pub').read_text()}" for name, key in keys.items()]
    (folder / "allowed").write_text("".join(lines))
    return folder / "allowed"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path / "key")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return forger.unpacked(tmp_path / "run")


def harness(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "harness", *map(str, words)]
    return subprocess.run(argv, env=os.environ | env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def of(found: list[Check], name: str = "signature") -> Check:
    (check,) = [check for check in found if check.name == name]
    return check


def test_what_is_signed_stays_as_it_was(run: Path, key: Path, tmp_path: Path) -> None:
    out = forger.bundled(run, tmp_path / "out.tar", partial(sign.sign, key=key))
    signed, plain = out.read_bytes(), GOLDEN.read_bytes()
    assert signed.startswith(plain.removesuffix(END))
    assert len(signed) == len(plain) + 2 * BLOCK
    again = forger.bundled(run, tmp_path / "again.tar", partial(sign.sign, key=key))
    assert again.read_bytes() == signed, "Ed25519 signs the same bytes alike"
    subprocess.run(["tar", "xf", str(out), "MANIFEST.json", "MANIFEST.json.sig"], cwd=tmp_path, check=True)
    by_hand = ["ssh-keygen", "-Y", "check-novalidate", "-n", "spark-harness", "-s", "MANIFEST.json.sig"]
    subprocess.run(by_hand, cwd=tmp_path, input=(tmp_path / "MANIFEST.json").read_bytes(), check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    key = new_key(tmp_path / "key", kind)
    by = sign.check_allowed(DATA, sign.sign(DATA, key), allowed(tmp_path, ann=key))
    assert by.name == "ann"
    assert by.key.startswith(f"{kind.upper()} key SHA256:")


def test_who_signed(run: Path, key: Path, tmp_path: Path) -> None:
    out = forger.bundled(run, tmp_path / "out.tar", partial(sign.sign, key=key))
    other = new_key(tmp_path / "other")
    names = allowed(tmp_path, ann=key, ben=other)
    alone = of(verify.checks(out))
    assert alone.status == PASS
    assert "which nothing here vouches for" in alone.text
    assert of(verify.checks(out, names)).text.startswith("by ann, with ED25519 key SHA256:")
    assert of(verify.checks(out, names, "ann")).status == PASS
    for file, identity in ((names, "ben"), (allowed(tmp_path, ben=other), None)):
        refused = of(verify.checks(out, file, identity))
        assert refused.status == FAIL
        assert "does not allow" in refused.text
    for option in ('valid-before="20200101"', 'valid-after="20990101"', 'namespaces="git"'):
        names.write_text(f"ann {option} {key.with_name(f'{key.name}.pub').read_text()}")
        refused = of(verify.checks(out, names, "ann"))
        assert (refused.status, "why the line that is there does not hold" in refused.advice) == (FAIL, True), option
    unsigned = [of(verify.checks(GOLDEN, file)) for file in (None, names)]
    assert [check.status for check in unsigned] == [SKIP, FAIL]


def test_a_signature_of_something_else(run: Path, key: Path, tmp_path: Path) -> None:
    out = forger.bundled(run, tmp_path / "out.tar", lambda manifest: sign.sign(manifest + b" ", key))
    assert of(verify.checks(out)).status == FAIL
    foreign = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "file"], input=DATA, capture_output=True, check=True
    ).stdout
    with pytest.raises(VerifyError, match="none of these files"):
        sign.check(DATA, foreign)
    with pytest.raises(VerifyError):
        sign.check(DATA, b"")


def test_any_changed_byte_of_a_signature_is_found(key: Path) -> None:
    signature = sign.sign(DATA, key)
    for place in range(0, len(signature), 5):
        changed = bytearray(signature)
        changed[place] ^= 1
        with pytest.raises(VerifyError):
            sign.check(DATA, bytes(changed))


def test_another_spelling_of_a_signature(key: Path) -> None:
    """ssh-keygen takes some of these as the same."""
    signature = sign.sign(DATA, key)
    begin, *lines, end = signature.splitlines()
    for other in (
        signature + b"\n",
        signature.rstrip(),
        b"\r\n".join([begin, *lines, end, b""]),
        begin + b"".join(lines) + end,
    ):
        assert not sign.canonical(other)
    assert sign.canonical(signature)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An ssh-agent of the test's own."""
    env = {"SSH_AUTH_SOCK": str(tmp_path / "agent")}
    child = subprocess.Popen(["ssh-agent", "-D", "-a", env["SSH_AUTH_SOCK"]], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield env
    finally:
        child.terminate()
        child.communicate()


def test_the_agent_signs_for_a_public_key(run: Path, key: Path, tmp_path: Path, agent: dict[str, str]) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], env=os.environ | agent, check=True)
    key.unlink()
    done = harness("results", "bundle", run, "--key", f"{key}.pub", "--out", tmp_path / "out.tar", **agent)
    assert done.returncode == 0, done.stderr
    assert of(verify.checks(tmp_path / "out.tar", allowed(tmp_path, ann=key))).status == PASS
    subprocess.run(["ssh-add", "-q", "-D"], env=os.environ | agent, check=True)
    done = harness("results", "bundle", run, "--key", f"{key}.pub", "--out", tmp_path / "no.tar", **agent)
    assert (done.returncode, len(done.stderr.splitlines())) == (UsageError.exit_code, 2), done.stderr
    assert "ssh-agent must have the private one" in done.stderr
    assert not (tmp_path / "no.tar").exists()


def test_the_command(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    done = harness("results", "bundle", run, "--sign", "--out", tmp_path / "out.tar", HOME=str(home))
    assert (done.returncode, "there is no SSH key" in done.stderr) == (UsageError.exit_code, True)
    key = new_key(home / ".ssh" / "id_ed25519")
    done = harness("results", "bundle", run, "--sign", "--out", tmp_path / "out.tar", HOME=str(home))
    assert done.returncode == 0, done.stderr
    file = allowed(tmp_path, ann=key)
    done = harness("verify", tmp_path / "out.tar", "--allowed-signers", file, "--identity", "ann")
    assert (done.returncode, "by ann" in done.stdout) == (0, True), done.stderr
    done = harness("verify", tmp_path / "out.tar", "--allowed-signers", file, "--identity", "ben")
    assert (done.returncode, len(done.stderr.splitlines())) == (VerifyError.exit_code, 2)


def test_a_locked_key_without_a_terminal_ends(tmp_path: Path) -> None:
    key = new_key(tmp_path / "key", passphrase="four words and more")
    program = "from pathlib import Path; from harness.share import sign; import sys; sign.sign(b'x', Path(sys.argv[1]))"
    argv = [sys.executable, "-c", program, str(key)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, start_new_session=True)
    assert "a passphrase needs a terminal" in done.stderr


def test_without_ssh_keygen(run: Path, key: Path, tmp_path: Path) -> None:
    out = forger.bundled(run, tmp_path / "out.tar", partial(sign.sign, key=key))
    bare = {"PATH": str(tmp_path / "empty")}
    for words in (
        ("results", "bundle", run, "--key", key, "--out", tmp_path / "new.tar"),
        ("verify", out, "--allowed-signers", allowed(tmp_path, ann=key)),
    ):
        done = harness(*words, **bare)
        assert (done.returncode, len(done.stderr.splitlines())) == (MachineError.exit_code, 2), done.stderr
        assert "signatures need ssh-keygen, which is not here" in done.stderr
    done = harness("verify", out, **bare)
    assert done.returncode == 0
    assert "not looked at: signatures need ssh-keygen" in " ".join(done.stdout.split())


def test_a_bundle_with_a_file_in_place_of_a_signature(run: Path, tmp_path: Path) -> None:
    out = forger.bundled(run, tmp_path / "large.tar", lambda manifest: bytes(20_000))
    with pytest.raises(VerifyError, match="are no signature"), bundle.opened(out):
        pass
    out = forger.bundled(run, tmp_path / "none.tar", lambda manifest: b"-----BEGIN")
    assert of(verify.checks(out)).status == FAIL
    again = header(bundle.SIGNATURE, 1) + b"x".ljust(BLOCK, b"\0")
    out.write_bytes(out.read_bytes().removesuffix(END) + again + END)
    with pytest.raises(VerifyError, match=r"MANIFEST\.json\.sig: the manifest does not have it"), bundle.opened(out):
        pass
