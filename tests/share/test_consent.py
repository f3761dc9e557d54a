"""Ways round a person's consent, each tried: nothing leaves but what somebody has seen at a terminal, and once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from harness import clock, sharing, verify
from harness.errors import NoConsent
from harness.schema.consent import Audience, Consent
from harness.share import consent
from harness.share.names import Names
from harness.share.parcel import Parcel
from harness.store import folder
from tests.share import forger
from tests.share.sitting import CTRL_C, CTRL_D, Place, Sitting

NO_CONSENT = 13
NAME = "smollm2-135m-cpu-77b05a.tar"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def test_the_phrase_sends_what_was_shown(place: Place, stick: Path) -> None:
    code, seen = place.agree("latest", "--to", f"file:{stick}")
    assert code == 0, seen
    (receipt,) = place.receipts()
    assert [path.name for path in stick.iterdir()] == [NAME]
    assert receipt.files[NAME].sha256 in seen.replace("\n", "")
    assert (receipt.confirmed, receipt.consent, receipt.reference) == (True, "terminal", str(stick / NAME))
    assert f"uploaded: {stick / NAME}" in seen
    assert empty(place.state / "parcels"), "what was confirmed is not kept"
    assert "77b05a" in place.share("list").stdout


def test_no_variable_agrees(place: Place, stick: Path) -> None:
    env = {"HARNESS_CONSENT": "yes", "HARNESS_YES": "1", "CI": "true", "DEBIAN_FRONTEND": "noninteractive", "SHARE": "yes"}
    done = place.share("latest", "--to", f"file:{stick}", **env)
    assert (done.returncode, empty(stick)) == (NO_CONSENT, True)
    assert "there is no terminal to ask on" in done.stderr
    assert place.receipts() == []


@pytest.mark.parametrize("flag", ["--yes", "-y", "--consent=yes"])
def test_no_flag_agrees(place: Place, stick: Path, flag: str) -> None:
    done = place.share("latest", "--to", f"file:{stick}", flag)
    assert done.returncode == (NO_CONSENT if "=" in flag else 2)
    assert empty(stick)


def test_what_is_piped_does_not_agree(place: Place, stick: Path) -> None:
    """Not even the right phrase, which a dry run tells; the terminal is asked, and there somebody says no."""
    to = ("latest", "--to", f"file:{stick}")
    phrase = known_phrase(place, *to)
    assert place.share(*to, stdin=f"yes\n{phrase}\n" * 100).returncode == NO_CONSENT
    reader, writer = os.pipe()
    os.write(writer, f"{phrase}\n".encode())
    os.close(writer)
    with Sitting(place.argv(*to), place.env, stdin=reader) as sitting:
        os.close(reader)
        assert sitting.phrase() == phrase
        sitting.type("no")
        assert sitting.end()[0] == NO_CONSENT
    assert empty(stick)


def known_phrase(place: Place, *to: object) -> str:
    """A dry run keeps the bytes, so the next preview asks for the same."""
    done = place.share(*to, "--dry-run", place.home / "dry")
    sha256 = re.search("^SHA-256 +([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert sha256, done.stdout + done.stderr
    return f"send {sha256[1][:8]} to {str(to[2]).partition(':')[0]}"


def test_what_was_typed_before_the_question_is_no_answer(place: Place, stick: Path) -> None:
    to = ("latest", "--to", f"file:{stick}")
    phrase = known_phrase(place, *to)
    with place.sit(*to) as sitting:
        sitting.type(phrase)
        assert sitting.phrase() == phrase
        sitting.type(CTRL_D, end="")
        assert sitting.end()[0] == NO_CONSENT
    assert empty(stick)


@pytest.mark.parametrize(
    ("typed", "code"),
    [("yes", NO_CONSENT), ("send 00000000 to file", NO_CONSENT), (CTRL_D, NO_CONSENT), (CTRL_C, 130)],
)
def test_nothing_but_the_phrase_agrees(place: Place, stick: Path, typed: str, code: int) -> None:
    with place.sit("latest", "--to", f"file:{stick}") as sitting:
        sitting.phrase()
        sitting.type(typed, end="" if typed in (CTRL_C, CTRL_D) else "\n")
        assert sitting.end()[0] == code
    assert empty(stick)
    assert place.receipts() == []
    assert not (place.state / "parcels").exists(), "nothing is kept of what nobody agreed to"


def test_the_background_of_a_terminal_is_not_asked(place: Place, stick: Path) -> None:
    argv = ["bash", "-mc", '"$@" & wait $!', "bash", *place.argv("latest", "--to", f"file:{stick}")]
    with Sitting(argv, place.env) as sitting:
        code, seen = sitting.end()
    assert (code, empty(stick)) == (NO_CONSENT, True)
    assert "runs in the background" in seen


def order(place: Place, to: str) -> sharing.Order:
    target, where = sharing.address(to)
    stored = folder.read(place.result)
    return sharing.Order(path=place.result, target=target, where=where, state=place.state, stored=stored, names=Names())


def test_each_submission_has_another_phrase(place: Place, stick: Path) -> None:
    one, two = (sharing.prepare(order(place, f"file:{stick}")).parcel for _ in range(2))
    assert (one.submission != two.submission, consent.phrase(one) != consent.phrase(two)) == (True, True)


def test_a_result_that_changes_while_it_is_looked_at_is_not_sent(place: Place, stick: Path) -> None:
    with place.sit("latest", "--to", f"file:{stick}") as sitting:
        phrase = sitting.phrase()
        with (place.result / "logs" / "engine.log").open("a") as log:
            log.write("more\n")
        sitting.type(phrase)
        code, seen = sitting.end()
    assert (code, empty(stick)) == (NO_CONSENT, True)
    assert "has changed since it was shown" in seen


def test_a_place_that_changes_while_it_is_looked_at_gets_nothing(place: Place, stick: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(stick)
    with place.sit("latest", "--to", f"file:{tmp_path / 'link'}") as sitting:
        phrase = sitting.phrase()
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "other")
        sitting.type(phrase)
        code, seen = sitting.end()
    assert (code, empty(stick), empty(tmp_path / "other")) == (NO_CONSENT, True, True)
    assert "who gets or sees it has changed" in seen


@pytest.mark.skipif(shutil.which("less") is None, reason="less is not here")
def test_more_is_shown_when_it_is_asked_for(place: Place, stick: Path) -> None:
    with place.sit("latest", "--to", f"file:{stick}") as sitting:
        phrase = sitting.phrase()
        sitting.type("fields")
        sitting.until(r'harness_version +"0.1.0.dev0"')
        sitting.until(r"\n:")  # the pager waits
        sitting.type("q", end="")
        sitting.until(r"(?s)type exactly.*type exactly")
        sitting.type(phrase)
        code, seen = sitting.end()
    assert code == 0, seen


def test_an_agreement_to_one_parcel_sends_no_other(place: Place, stick: Path) -> None:
    one, two = (sharing.prepare(order(place, f"file:{stick}")) for _ in range(2))
    with pytest.raises(NoConsent, match="is not what was agreed to"):
        sharing.send(one, sharing.agree(two), "terminal", {}, print)
    assert (empty(stick), place.receipts()) == (True, [])


class Kept:
    """A consent file."""

    def __init__(self, place: Place, stick: Path) -> None:
        self.place, self.to, self.file = place, ("latest", "--to", f"file:{stick}"), place.home / "agreed"
        code, seen = place.agree(*self.to, "--consent-file", self.file)
        assert code == 0, seen
        assert empty(stick), "nothing goes when it is made"
        assert self.file.stat().st_mode & 0o777 == 0o600

    def used(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        return self.place.share(*(words or (*self.to, "--consent", self.file)), **env)


@pytest.fixture
def agreed(place: Place, stick: Path) -> Kept:
    return Kept(place, stick)


def test_a_consent_file_sends_once_without_a_terminal(agreed: Kept, place: Place, stick: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(agreed.file.read_bytes())
    shutil.copytree(place.state, tmp_path / "state" / "spark-harness" / "share")
    done = agreed.used()
    assert done.returncode == 0, done.stderr
    assert [path.name for path in stick.iterdir()] == [NAME]
    (receipt,) = place.receipts()
    assert (receipt.consent, receipt.confirmed) == ("file", True)
    (stick / NAME).unlink()
    again = agreed.used(*agreed.to, "--consent", copy)
    assert (again.returncode, "it was used already" in again.stderr) == (NO_CONSENT, True)
    again = agreed.used(*agreed.to, "--consent", copy, XDG_STATE_HOME=str(tmp_path / "state"))
    assert (again.returncode, "there is a receipt of this consent" in again.stderr) == (7, True)
    assert empty(stick)


def test_of_two_that_use_it_at_once_one_sends(agreed: Kept, place: Place, stick: Path) -> None:
    copy = place.home / "copy"
    copy.write_bytes(agreed.file.read_bytes())
    both = [
        subprocess.Popen(
            place.argv(*agreed.to, "--consent", file), env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for file in (agreed.file, copy)
    ]
    for process in both:
        process.communicate()
    assert sorted(process.returncode for process in both) == [0, NO_CONSENT]
    assert len(place.receipts()) == 1


def test_a_consent_for_one_place_is_none_for_another(place: Place, stick: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    file, to = tmp_path / "agreed", f"file:{stick}"
    sharing.agree_later(sharing.prepare(order(place, to)), file)
    for other in (f"file:{tmp_path / 'other'}", "http://127.0.0.1:9", "https://collector.example.org"):
        with pytest.raises(NoConsent, match=f"it is for file:{stick}, not for"):
            sharing.agreed_before(sharing.prepared_before(order(place, other), file), file)
    sharing.agreed_before(sharing.prepared_before(order(place, to), file), file)  # and for its own it still is one
    with pytest.raises(NoConsent, match="it was used already"):
        sharing.prepared_before(order(place, to), file)


def test_a_consent_for_some_bytes_is_none_for_others(place: Place, stick: Path, tmp_path: Path) -> None:
    file, it = tmp_path / "agreed", order(place, f"file:{stick}")
    sharing.agree_later(sharing.prepare(it), file)

    def use() -> Consent:
        return sharing.agreed_before(sharing.prepared_before(it, file), file)

    log = place.result / "logs" / "engine.log"
    before = log.read_bytes()
    log.write_bytes(before + b"more\n")
    with pytest.raises(NoConsent, match="is not what was looked at then"):
        use()
    log.write_bytes(before)
    (parcel,) = (place.state / "parcels").iterdir()
    kept = parcel.read_bytes()
    parcel.write_bytes(kept.replace(b'"embedded"', b'"unbedded"'))
    assert parcel.read_bytes() != kept
    with pytest.raises(NoConsent, match="it is for other bytes than would be sent"):
        use()
    parcel.unlink()
    with pytest.raises(NoConsent, match="are not kept here any more"):
        use()
    parcel.write_bytes(kept)
    use()


def test_an_altered_or_made_up_consent_is_none(agreed: Kept, place: Place, stick: Path) -> None:
    text = agreed.file.read_text()
    for changed in (
        text.replace('"file"', '"http"'),
        re.sub(r'"expires": "20', '"expires": "29', text),
        re.sub(r'"id": "[0-9a-f]{32}"', f'"id": "{"0" * 32}"', text),
        re.sub(r'"id": "[0-9a-f]{32}"', '"id": "../../agreed"', text),
        re.sub(r'"schema_version": 1', '"schema_version": 2', text),
        f"{text}\n",
        "{}",
        "",
    ):
        assert changed != text
        agreed.file.write_text(changed)
        with pytest.raises(NoConsent):
            consent.read(agreed.file, place.state)
    done = agreed.used()
    assert (done.returncode, empty(stick)) == (NO_CONSENT, True), done.stderr
    agreed.file.write_text(text)
    consent.read(agreed.file, place.state)


def a_parcel() -> tuple[Parcel, Audience]:
    parcel = Parcel(target="file", where="/x", submission="s", result="r", files={"a": b"b"})
    return parcel, Audience(to="t", seen_by="s", terms="t", withdrawal="w")


@pytest.mark.parametrize("days", [-8, 1])
def test_a_stale_consent_is_none(tmp_path: Path, days: int) -> None:
    """Nor one from the future: then the clock was set back."""
    parcel, audience = a_parcel()
    now = clock.utc_now() + timedelta(days=days)
    old = msgspec.structs.replace(
        consent.given(parcel, audience), given=now.isoformat(), expires=(now + timedelta(days=consent.DAYS)).isoformat()
    )
    consent.write(old, tmp_path / "state", tmp_path / "file")
    with pytest.raises(NoConsent, match="it was good from"):
        consent.use(tmp_path / "file", tmp_path / "state", parcel, audience)


def test_a_consent_is_to_terms_as_well(tmp_path: Path) -> None:
    parcel, audience = a_parcel()
    consent.write(consent.given(parcel, audience), tmp_path / "state", tmp_path / "file")
    with pytest.raises(NoConsent, match="are not those that were shown"):
        consent.use(tmp_path / "file", tmp_path / "state", parcel, msgspec.structs.replace(audience, seen_by="everybody"))
    consent.use(tmp_path / "file", tmp_path / "state", parcel, audience)


def test_many_threads_get_it_once(tmp_path: Path) -> None:
    parcel, audience = a_parcel()
    consent.write(consent.given(parcel, audience), tmp_path / "state", tmp_path / "file")
    got: list[Consent] = []
    barrier = threading.Barrier(16)

    def use() -> None:
        barrier.wait()
        try:
            got.append(consent.use(tmp_path / "file", tmp_path / "state", parcel, audience))
        except NoConsent:
            pass

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_the_parcels_sum_is_of_everything() -> None:
    parcel, _ = a_parcel()
    others = [msgspec.structs.replace(parcel, **{name: "other"}) for name in ("target", "where", "submission", "result")] + [
        msgspec.structs.replace(parcel, files=files) for files in ({"a": b"c"}, {"b": b"b"}, {"a": b"b", "c": b""}, {})
    ]
    assert len({each.sha256 for each in (parcel, *others)}) == 1 + len(others)


def test_names_that_nobody_knows_are_asked_for(place: Place, stick: Path) -> None:
    for name in ("result.json", "plan.json"):
        forger.change_json(place.result / name, lambda it: it.update(model="acme/unheard-of-7b"))
    to = ("latest", "--to", f"file:{stick}", "--fields")
    for typed, left, gone in (("", "model-[0-9a-f]{6}", "unheard"), ("yes", "acme/unheard-of-7b", "model-")):
        with place.sit(*to) as sitting:
            sitting.until("model 'acme/unheard-of-7b' is not known to be public")
            sitting.until("random one:")
            start = len(sitting.seen)
            sitting.type(typed)
            sitting.until(r"\n:")
            sitting.type("q", end="")
            sitting.phrase()
            assert re.search(f"Names +model {left}", sitting.seen)
            assert gone not in sitting.seen[start:].removeprefix(typed)
    done = place.share(*to, "--dry-run", place.home / "dry", "--call", "acme/unheard-of-7b=Ours")
    assert "recipe smollm2" in done.stdout
    assert "unheard" not in done.stdout
    assert '"Ours"' in done.stdout


def test_a_secret_stops_it_before_anything_is_shown(place: Place, stick: Path) -> None:
    """One that looks like none, too, if a variable holds it."""
    done = place.share("latest", "--to", f"file:{stick}", "--dry-run", place.home / "dry", MY_API_KEY="smollm2-135m-cpu")
    assert (done.returncode, done.stdout) == (8, "")
    assert "holds what must not leave" in done.stderr
    assert not (place.home / "dry").exists()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not here")
def test_what_is_shared_can_be_signed(place: Place, stick: Path) -> None:
    key = place.home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    ready = sharing.prepare(msgspec.structs.replace(order(place, f"file:{stick}"), key=key))
    (data,) = ready.parcel.files.values()
    (stick / "it.tar").write_bytes(data)
    found = {check.name: check for check in verify.checks(stick / "it.tar")}
    assert (found["files"].status, found["signature"].status, found["figures"].status) == ("pass", "pass", "pass")
