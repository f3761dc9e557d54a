"""A dataset repository on the Hugging Face hub: one commit of the bundle and a page about it, under `results/<submission>/`.

It is there where the repository itself tells the SHA-256 (of a large file) or git's own sum (of a small one) of our bytes, asked after
the commit. `huggingface-hub` does the talking, by plain HTTP; it is told to say nothing of this machine but its own version and Python's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from logging import CRITICAL
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from harness import __version__
from harness.errors import MachineError, UsageError
from harness.report.exports import forum
from harness.schema.bundle import Entry
from harness.schema.consent import Audience, Receipt
from harness.share import request
from harness.share.parcel import TOKEN, Answer, Parcel, Shareable

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

OWN = "HF_TOKEN"
"""Name of the secret that the environment has for the hub that it names."""
HUB = "https://huggingface.co"
ASKED_AS_PR = "@pr"
BRANCH = "main"
PAGE = "README.md"
PATIENCE_S = 60.0
"""For each step of a request; the library itself would wait for ever."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
OID = re.compile("[0-9a-f]{40}")
MEANING = {
    401: "the token is not taken, or the repository does not exist",
    403: "this token may not do that",
    404: "there is no such repository, or not for this token",
    409: "somebody else changed it at that moment",
}

Say = Callable[[str], None]


class Place(NamedTuple):
    hub: str
    repo: str
    pr: bool

    @property
    def url(self) -> str:
        return f"{self.hub}/datasets/{self.repo}"


class Ended(Exception):
    """What a server said that the library would wait for or follow in silence."""


class HuggingFace:
    def audience(self, where: str) -> Audience:
        place = _place(where)
        how = "as a pull request" if place.pr else "as a commit"
        return Audience(
            to=f"the dataset repository {place.url}, {how} by the account whose token is used",
            seen_by="whoever may read that repository: everybody, unless it is private. Which it is, is asked when it is sent",
            terms="those of the hub, huggingface.co/terms-of-service, and the licence that the repository names",
            withdrawal=f"none by the harness: close the pull request at {place.url}/discussions; its commit stays readable"
            if place.pr
            else "harness share withdraw deletes the files in a new commit; the repository's history keeps them, until its owner "
            "rewrites it, and so does whoever has a copy",
        )

    def files(self, shareable: Shareable, where: str) -> dict[str, bytes]:
        name, stored = f"{shareable.stored.result.id}.tar", shareable.stored
        told = forum.as_markdown(stored.result, stored.plan, stored.records).text
        rest = f"All that these figures rest on is in `{name}`: `harness verify {name}` computes them again."
        page = f"# {stored.result.id}\n\n{told}\n{rest}\n"
        return {PAGE: page.encode(), name: shareable.bundle}

    def check(self, parcel: Parcel, secrets: Mapping[str, str]) -> None:
        """That there is a token, not that it is a good one: to look at those that the library keeps may renew one, over the network."""
        place = _place(parcel.where)
        _require(place)
        from huggingface_hub import constants

        kept = place.hub == constants.ENDPOINT and (secrets.get(OWN) or Path(constants.HF_TOKEN_PATH).is_file())
        if not secrets.get(TOKEN) and not kept:
            raise _tokenless(place)

    def send(self, parcel: Parcel, secrets: Mapping[str, str], sent: frozenset[str], say: Say) -> Answer:
        from huggingface_hub import CommitOperationAdd

        place = _place(parcel.where)
        api, token = _api(place, secrets)
        folder = f"results/{parcel.submission}"
        try:
            private = api.dataset_info(place.repo).private
        except _errors() as error:
            why = _why(error, token)
            raise MachineError(
                f"{place.url}: {why}", "make that dataset repository on the hub, and use a token that may write to it"
            ) from None
        say(
            f"{place.repo} is {'private' if private else 'public' if private is False else 'of unknown visibility'}: sending one commit"
        )
        add = [
            CommitOperationAdd(f"{folder}/{name}", BytesIO(data)) for name, data in parcel.files.items()
        ]  # BytesIO: by plain HTTP
        lost, revision, reference = "", BRANCH, f"{place.url}/tree/{BRANCH}/{folder}"
        try:
            made = api.create_commit(
                place.repo, add, commit_message=f"Add {folder}", repo_type="dataset", create_pr=place.pr, num_threads=1
            )
            if not OID.fullmatch(str(made.oid)):
                raise ValueError("it names no commit")
            if made.pr_revision:
                revision, reference = made.pr_revision, f"{place.url}/discussions/{made.pr_num}"
            else:
                revision, reference = made.oid, f"{place.url}/tree/{made.oid}/{folder}"
        except _errors() as error:
            lost = _why(error, token)
        if lost and place.pr:
            return _none(parcel, f"{lost}; whether there is a pull request is to be seen at {place.url}/discussions")
        try:
            held = _held(api, place, revision, folder, parcel.files)
        except _errors() as error:
            seen = f"what is there cannot be asked: {_why(error, token)}"
            return _none(
                parcel, f"{lost}; {seen}" if lost else f"it says that it has made commit {revision}, but {seen}", reference
            )
        there = tuple(name for name, data in parcel.files.items() if _same(held.get(name), data))
        missing = tuple(name for name in parcel.files if name not in there)
        said = f"{revision[:12]} has these bytes, by the repository's own sums"
        if missing:
            said = f"{lost or f'it says that it has made commit {revision}'}; asked, the repository does not have these bytes"
        elif lost:
            said = f"{said}, although the answer to the commit was: {lost}"
        if place.pr and not missing:
            said += "; whether it is merged is its owner's to decide"
        return Answer(confirmed=not missing, said=said, reference=reference, sent=there, missing=missing)

    def withdraw(self, receipt: Receipt, secrets: Mapping[str, str], say: Say) -> Answer:
        from huggingface_hub import CommitOperationDelete

        place = _place(receipt.where)
        if place.pr:
            raise MachineError("a pull request is closed by hand, so nothing was asked", f"close it at {place.url}/discussions")
        api, token = _api(place, secrets)
        folder = f"results/{receipt.submission}"
        try:
            held = _held(api, place, BRANCH, folder, receipt.files)
        except _errors() as error:
            raise MachineError(
                f"{place.url}: {_why(error, token)}", "use a token that may write to it, or try again later"
            ) from None
        if not held:
            return Answer(confirmed=True, said=f"{BRANCH} does not have these files any more")
        said = "it says that it has deleted them"
        try:
            drop = [CommitOperationDelete(f"{folder}/{name}", is_folder=False) for name in held]
            api.create_commit(place.repo, drop, commit_message=f"Delete {folder}", repo_type="dataset")
        except _errors() as error:
            said = _why(error, token)
        try:
            held = _held(api, place, BRANCH, folder, receipt.files)
        except _errors() as error:
            return Answer(confirmed=False, said=f"{said}; what is there now cannot be asked: {_why(error, token)}")
        if held:
            return Answer(confirmed=False, said=f"{said}; still there: {', '.join(held)}")
        return Answer(confirmed=True, said=f"{BRANCH} does not have these files any more; the repository's history has")


def _place(where: str) -> Place:
    """`owner/name`, or the same behind the address of another hub, and `@pr` for a pull request. Raises `UsageError`."""
    rest, pr = where.removesuffix(ASKED_AS_PR), where.endswith(ASKED_AS_PR)
    hub, repo = HUB, rest
    if "://" in rest:
        base, _, name = rest.rpartition("/")
        hub, _, owner = base.rpartition("/")
        repo = f"{owner}/{name}"
    if not NAME.fullmatch(repo) or not (request.loopback(hub) or _secure(hub)):
        raise UsageError(
            f"--to huggingface:{where}: it is no dataset repository",
            f"write it like huggingface:OWNER/NAME, or OWNER/NAME{ASKED_AS_PR} for a pull request; another hub's is https://HOST/OWNER/NAME",
        )
    return Place(hub, repo, pr)


def _secure(hub: str) -> bool:
    try:
        place = urlsplit(hub)
        port = place.port
    except ValueError:
        return False
    return place.scheme == "https" and hub == f"https://{place.hostname}" + (f":{port}" if port else "")


def _require(place: Place) -> None:
    """Raises `MachineError` where the library is missing, or the environment says something else than what was agreed to."""
    if find_spec("huggingface_hub") is None:
        raise MachineError("huggingface-hub is not installed", "install it here: pip install 'spark-harness[share]'")
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise MachineError("HF_HUB_OFFLINE is set, so nothing is sent to the hub", "unset it")
    if constants.ENDPOINT not in (HUB, place.hub):
        raise MachineError(
            f"HF_ENDPOINT is {request.short(constants.ENDPOINT)}, but what would be agreed to is {place.hub}",
            "unset it, or write that hub's address: --to huggingface:https://HOST/OWNER/NAME",
        )


def _tokenless(place: Place, why: str = "") -> MachineError:
    return MachineError(
        f"no token for {place.hub}{why}",
        "log in: hf auth login; or name one that may write to the repository: HF_TOKEN, --token-env NAME, --token-file FILE",
    )


def _api(place: Place, secrets: Mapping[str, str]) -> tuple[HfApi, str]:
    """(the library, the token). It goes to the place that was agreed to, whatever the environment calls the hub."""
    _require(place)
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    token = secrets.get(TOKEN)
    if not token and place.hub == constants.ENDPOINT:  # what is kept, or in HF_TOKEN, is for that hub and no other
        try:
            token = secrets.get(OWN) or huggingface_hub.get_token()
        except _errors() as error:
            raise _tokenless(place, f": {_why(error, '')}") from None
    if not token:
        raise _tokenless(place)
    constants.HF_HUB_DISABLE_TELEMETRY = True  # which would name what runs here, and ask the hub for a list to know it by
    constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = True  # or its own would be looked for again, and renewed on the way
    disable_progress_bars()
    logging.set_verbosity(CRITICAL)
    huggingface_hub.set_client_factory(partial(_client, proxy=not request.loopback(place.hub)))
    return huggingface_hub.HfApi(
        endpoint=place.hub, token=token, library_name="spark-harness", library_version=__version__
    ), token


def _client(proxy: bool) -> httpx2.Client:
    """`proxy`: one that the environment names is used."""
    import httpx2

    return httpx2.Client(timeout=PATIENCE_S, follow_redirects=False, trust_env=proxy, event_hooks={"response": [_look]})


def _look(response: httpx2.Response) -> None:
    """Ends what the library would wait for (five times as long as it is told to, silently) or follow."""
    if response.status_code == 429:
        later = response.headers.get("retry-after", "")
        raise Ended(
            f"it answers 429: too many requests{f', come back in {later} s' if re.fullmatch('[0-9]{1,6}', later) else ''}"
        )
    if 300 <= response.status_code < 400:
        raise Ended(f"it sends us to {request.short(response.headers.get('location', 'nowhere'))}: nothing went there")


def _errors() -> tuple[type[Exception], ...]:
    """What the library raises: for faults of the network and of the hub, and for answers that it did not expect."""
    import httpx2
    from huggingface_hub.errors import OIDCError

    return (
        httpx2.HTTPError,
        OSError,
        Ended,
        OIDCError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    )


def _why(error: Exception, token: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of a large file it says only that it failed
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        words = request.short(request.without(error.server_message or "", token))
        what = MEANING.get(status, "a fault of its own" if status >= 500 else "it is not taken")
        return f"it answers {status}: {what}" + (f": {words}" if words else "")
    words = request.short(request.without(str(error), token))
    if isinstance(error, Ended):
        return words
    if isinstance(error, OSError) or type(error).__module__.startswith("httpx2"):
        return f"the connection broke: {words or type(error).__name__}"
    return f"it answers in a way that is not the hub's: {words or type(error).__name__}"


def _held(
    api: HfApi, place: Place, revision: str, folder: str, files: Mapping[str, bytes] | Mapping[str, Entry]
) -> dict[str, RepoFile]:
    """What the repository has of these files."""
    from huggingface_hub.hf_api import RepoFile

    found = api.get_paths_info(place.repo, [f"{folder}/{name}" for name in files], revision=revision, repo_type="dataset")
    by_path = {file.path: file for file in found if isinstance(file, RepoFile)}
    return {name: by_path[f"{folder}/{name}"] for name in files if f"{folder}/{name}" in by_path}


def _same(held: RepoFile | None, data: bytes) -> bool:
    if held is None:
        return False
    if held.lfs is not None:
        return (held.lfs.size, held.lfs.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return (held.size, held.blob_id) == (len(data), git)


def _none(parcel: Parcel, said: str, reference: str = "") -> Answer:
    return Answer(confirmed=False, said=said, reference=reference, missing=tuple(parcel.files))
