"""The board's site from accepted bundles, in a process with bounds, into a new folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from harness import clock, overview, site
from harness.errors import HarnessError
from harness.facts import load
from harness.schema.collect import Build, Built, Shown
from harness.share import bundle
from harness.store import folder, index


def build(task: Build) -> Built:
    results = Path(task.results)
    damaged = _unpacked(results, task.shown)
    day = clock.utc_now().date()
    try:
        facts = load.load(Path(task.facts))
        summaries = [  # ids of results are short and their makers' own: a page is called by its submission
            msgspec.structs.replace(summary, id=Path(summary.path).name) for summary in index.summaries(results)
        ]
        summaries.sort(key=lambda summary: (summary.started, summary.id))
        board = overview.board(results, summaries, facts, [Path(path) for path in task.recipes], day)
        built = site.build(board, overview.tables(facts, day), summaries, Path(task.out))
    except HarnessError as error:
        return Built(error=error.message)
    return Built(pages=built.pages, damaged=(*damaged, *built.damaged))


def _unpacked(results: Path, shown: tuple[Shown, ...]) -> list[str]:
    """`results` has what is shown, and nothing else. Gives why some of it has not."""
    wanted = {results / one.user / one.submission: Path(one.bundle) for one in shown}
    for path in results.glob("*/*"):
        if path not in wanted:
            shutil.rmtree(path)
    damaged = []
    for path, file in wanted.items():
        if not path.exists():
            try:
                _unpack(file, path)
            except HarnessError as error:  # it was withdrawn meanwhile, say
                damaged.append(error.message)
    return damaged


def _unpack(file: Path, path: Path) -> None:
    """There whole, or not at all. Only what pages are made of."""
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with bundle.opened(file) as found:
        part.mkdir(parents=True)
        for name in folder.EVIDENCE:
            shutil.move(found.folder / name, part / name)
    part.replace(path)
