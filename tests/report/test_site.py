"""Pages hold everything they were given, as words and never as markup; and a run keeps its own."""

from __future__ import annotations

import datetime
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import site
from harness.board.columns import COLUMNS
from harness.errors import StoreError
from harness.report import board as words
from harness.report.site import days, observed, pages, pictures
from harness.schema.board import Board, Entry, Row
from harness.schema.facts import Facts, Source
from harness.schema.observation import Visit
from harness.schema.request import Event, Record
from harness.schema.result import Answer, Finding, Result, Sanity
from harness.schema.run import FileHash
from harness.schema.sensors import Sample
from harness.store import folder, index, series
from harness.store.folder import ResultFolder
from tests.board.systems import point, summary
from tests.store import sample_run

DAY = datetime.date(2026, 11, 25)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)></pre></style>{{ 7*7 }}&amp;"
VOID = {"meta", "input", "br", "img", "line", "circle"}


class Seen(HTMLParser):
    """Text, tags and attributes as a browser would understand them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def harmless(page: str) -> Seen:
    """One script and one style, both ours; nothing is loaded; no handler in an attribute; links lead to pages or the web."""
    seen = Seen(page)
    tags = [tag for tag, _ in seen.tags]
    assert (tags.count("script"), tags.count("style")) == (1, 1)
    assert not {"img", "link", "iframe", "object", "embed", "base", "image", "foreignobject"} & set(tags)
    for _, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcdoc")]
        assert (attributes.get("href") or "#").startswith(
            ("#", "https://", "http://", "../", "results/", "observations/", "index", "load", "facts", "results")
        )
    (policy,) = (found["content"] or "" for tag, found in seen.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    return seen


plain = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=12)
word = st.one_of(plain, st.just(HOSTILE)).map(lambda text: text or "x")
number = st.floats(min_value=1e-6, max_value=1e6)
intervals = st.none() | st.tuples(number, number).map(sorted)
sources = st.lists(
    st.builds(
        Source, url=st.one_of(word, st.just("javascript:alert(1)")), quote=word, kind=st.just("primary"), date=st.just(DAY)
    ),
    max_size=2,
).map(tuple)
valued = st.builds(
    Entry,
    value=st.one_of(number, word, st.booleans(), st.integers(0, 10**6)),
    unit=st.sampled_from(["", "tok/s"]),
    origin=st.sampled_from(["measured", "published", "listed", "claimed", "computed", "assessed"]),
    date=st.none() | st.just(datetime.date(2026, 4, 29)),
    how=word,
    sources=sources,
    result=st.sampled_from(["", "abc123"]),
)
known = st.builds(lambda one, ends: msgspec.structs.replace(one, low=ends[0], high=ends[1]) if ends else one, valued, intervals)
unknown = st.builds(Entry, why=word)
beside = st.builds(lambda one, other: msgspec.structs.replace(one, also=(other,)), known | unknown, known)
entries = known | unknown | beside
rows = st.builds(
    Row,
    id=word,
    model=word,
    engine=word,
    nodes=st.none() | st.integers(1, 4),
    provider=st.one_of(st.just(""), word),
    entries=st.dictionaries(st.sampled_from(list(COLUMNS)), entries, max_size=8),
)


def whole(row: Row) -> Row:
    """Words stand only in columns that have no unit."""
    none = Entry(why="there is no source for it")

    def fitting(name: str, entry: Entry) -> Entry:
        wrong = COLUMNS[name].unit and isinstance(entry.value, str | bool)
        return msgspec.structs.replace(entry, value=1.5) if wrong else entry

    return msgspec.structs.replace(row, entries={name: fitting(name, row.entries.get(name, none)) for name in COLUMNS})


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=3), word)
def test_any_board_renders_with_every_value_as_words(found: list[Row], note: str) -> None:
    board = Board(rows=tuple(map(whole, found)), day=DAY, notes=(note,))
    seen = harmless(pages.board(board))
    harmless(pages.load(board, []))
    for row in board.rows:
        for entry in row.entries.values():
            for one in (entry, *entry.also):
                said = words.value(one) if one.value is not None else one.why
                for text in (said, one.how, *(source.quote for source in one.sources)):
                    assert re.sub(r"\s+", " ", text).strip() in seen.text


def test_every_cell_leads_to_where_its_figure_is_from() -> None:
    source = Source(url="https://example.org/x", quote="as fast as that", kind="primary", date=datetime.date(2026, 4, 29))
    entry = Entry(value=41.0, unit="tok/s", origin="published", date=source.date, how="one stream", sources=(source,))
    page = pages.board(Board(rows=(whole(Row(id="a", model="m", entries={"decode_tok_s": entry})),), day=DAY))
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    assert '<a href="#e0-decode_tok_s">41*</a>' in page
    assert "<b>41 tok/s</b>, published 2026-04-29, 210 days old: one stream" in page
    assert "<q>as fast as that</q>" in page


def test_without_evidence_no_mark_is_drawn_and_its_name_stands_below() -> None:
    elo, speed = Entry(value=1420, unit="Elo", origin="published"), Entry(value=41.0, unit="tok/s", origin="measured")
    board = Board(
        rows=(
            whole(Row(id="both", model="m", entries={"elo": elo, "decode_tok_s": speed})),
            whole(Row(id="an api", model="m", provider="p", entries={"elo": elo})),
            whole(Row(id="unrated", model="m", entries={"decode_tok_s": speed})),
        ),
        day=DAY,
    )
    found = pictures.quality(board)
    assert found.svg.count("<circle") == 1
    assert found.left_out == (("no measured speed", ("an api",)), ("not rated", ("unrated",)))
    assert "cost not known" in found.svg


def test_a_marks_area_is_its_price() -> None:
    added = [pictures.radius(dollars) - pictures.SMALLEST for dollars in (10.0, 40.0)]
    assert added[1] == pytest.approx(2 * added[0])
    assert pictures.radius(None) == pictures.radius(0.0) == pictures.SMALLEST
    assert pictures.radius(1e9) == pictures.LARGEST


def stored(root: Path, result: Result, samples: int = 0) -> Path:
    """A finished run of three trials."""
    made = ResultFolder.create(root, "sample", HOSTILE, sample_run.plan(("vllm", "serve", HOSTILE)))
    for index_ in range(3):
        extra = [Sample(index_ * 10**9 + n * 10**8, "nvml", "gpu", "gpu0.power", 30.0 + n, "W") for n in range(samples)]
        made.add_trial(sample_run.trial(index_), sample_run.records(index_), [*sample_run.samples(index_), *extra])
    made.finish(msgspec.structs.replace(result, id=made.id))
    return made.path


def test_a_result_page_holds_hostile_words_as_words(tmp_path: Path) -> None:
    hostile = msgspec.structs.replace(
        sample_run.result(),
        model=HOSTILE,
        recipe_name=HOSTILE,
        findings=(Finding(code="x", severity="note", text=HOSTILE),),
        sanity=Sanity(answers=(Answer(question="q", text=HOSTILE, tokens=1, right=None),), moved={}, findings=()),
        server=HOSTILE,
        quantization=HOSTILE,
        notes=(HOSTILE,),
        state=HOSTILE,
        model_files=(FileHash(path=HOSTILE, bytes=1, sha256="f" * 64),),
    )
    path = stored(tmp_path, hostile)
    seen = harmless(site.result_page(path, series.open_tables(), in_site=False))
    assert seen.text.count(re.sub(r"\s+", " ", HOSTILE)) >= 10
    assert "f" * 64 in seen.text
    assert "../index.html" not in (path / "recipe.yaml").read_text()


def test_pauses_and_power_come_from_the_tables(tmp_path: Path) -> None:
    path = stored(tmp_path, sample_run.result(), samples=5)
    found = series.read(path, series.open_tables())
    (line,) = found.lines
    assert (line.quantity, line.name, len(line.values)) == ("power", "gpu0 (nvml)", 15)
    assert line.values[:5] == [30.0, 31.0, 32.0, 33.0, 34.0]
    assert found.gaps == []  # each answer has one token
    drawn = {picture.name: picture for picture in site.result_pictures(path)}
    assert drawn["power"].svg
    assert drawn["clock"].why == "no sensor gave it"


def test_a_damaged_result_is_named_and_hides_no_other(tmp_path: Path) -> None:
    good, bad = (stored(tmp_path / "results", sample_run.result()) for _ in range(2))
    (bad / "samples.parquet").write_bytes(b"nothing")
    summaries = index.summaries(tmp_path / "results")
    built = site.build(Board(rows=(), day=DAY), {"models": Facts().models}, summaries, tmp_path / "site")
    ids = {folder.read_result(path).id for path in (good,)}
    assert {page.stem for page in (tmp_path / "site/results").iterdir()} == ids
    assert len(built.damaged) == 1
    assert "samples.parquet" in (tmp_path / "site/results.html").read_text() or str(bad) in built.damaged[0]


@pytest.mark.parametrize("ident", ["../../out", 'a"><script>', "", "x" * 300, "a/b"])
def test_an_id_from_elsewhere_is_no_path(tmp_path: Path, ident: str) -> None:
    stored(tmp_path / "results", sample_run.result())
    foreign = stored(tmp_path / "results", sample_run.result())
    found = msgspec.json.decode((foreign / "result.json").read_bytes()) | {"id": ident}
    (foreign / "result.json").write_bytes(msgspec.json.encode(found))
    built = site.build(Board(rows=(), day=DAY), {}, index.summaries(tmp_path / "results"), tmp_path / "deep/site")
    assert len(list(tmp_path.rglob("*.html"))) == 4 + 1 == built.pages
    assert ["is no id of a result" in line for line in built.damaged] == [True]
    harmless((tmp_path / "deep/site/results.html").read_text())


def test_two_results_with_one_id_are_not_one_page(tmp_path: Path) -> None:
    first = stored(tmp_path / "results", sample_run.result())
    shutil.copytree(first, first.with_name("20270101T000000Z-copy"))
    built = site.build(Board(rows=(), day=DAY), {}, index.summaries(tmp_path / "results"), tmp_path / "site")
    assert (built.pages, ["has the same id" in line for line in built.damaged]) == (5, [True])


def visit(number: int, endpoint: str, *, error: str = "", result: str = "", lost: int = 0) -> Visit:
    answered = 0 if error else 8 - lost
    return Visit(
        endpoint=endpoint,
        round=number,
        when=(datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC) + datetime.timedelta(hours=number)).isoformat(),
        result=result,
        error=error,
        sent=0 if error else 8,
        answered=answered,
        errors={"http_429": lost} if lost else {},
        ttft_ms=tuple(100.0 + each for each in range(answered)),
        e2e_ms=tuple(200.0 + each for each in range(answered)),
        usd=None if endpoint == "local" else 0.25,
    )


def test_a_page_for_each_observation(tmp_path: Path) -> None:
    ident = folder.read_result(stored(tmp_path / "results", sample_run.result())).id
    visits = [visit(n, "local", result=ident if n == 47 else "gone") for n in range(48)]
    visits += [
        visit(n, HOSTILE, result="gone", error="down " + HOSTILE if n == 7 else "", lost=3 if n in (3, 4) else 0)
        for n in range(48)
        if n != 20
    ]
    visits.sort(key=lambda one: one.round)
    name = 'week #1 "50%"?'
    summaries = index.summaries(tmp_path / "results")
    built = site.build(Board(rows=(), day=DAY), {}, summaries, tmp_path / "site", {name: visits, "empty": []})
    assert built.pages == 5 + 2
    index_page = harmless((tmp_path / "site/index.html").read_text())
    linked = [
        unquote(found["href"] or "") for _, found in index_page.tags if (found.get("href") or "").startswith("observations/")
    ]
    assert [(tmp_path / "site" / link).is_file() for link in linked] == [True, True]
    seen = harmless((tmp_path / "site" / linked[0]).read_text())
    assert (
        "95 visits to 2 servers from 2026-11-20 00:00 to 2026-11-21 23:00 UTC by harness observe; the last is 4 days old"
        in seen.text
    )
    assert [found["href"] for tag, found in seen.tags if "results/" in (found.get("href") or "")] == [
        f"../results/{ident}.html"
    ]
    assert re.sub(r"\s+", " ", f"1 × down {HOSTILE}") in seen.text
    assert "6 × http_429" in seen.text
    assert seen.text.count("11.7500") == 2  # 47 visits of a quarter, in all and after the last part
    assert not [
        link
        for link in re.findall(r'href="(observations/[^"]*)"', (tmp_path / "site/index.html").read_text())
        if re.search("[#?]", link)
    ]
    assert "Nothing was observed yet" in (tmp_path / "site/observations/empty.html").read_text()


def test_a_line_of_days_ends_where_nobody_looked_or_nothing_came() -> None:
    """Two visits a point. Nobody looked in rounds 8 and 9, and the server was down in round 20: 37 visits of 8, and p99 needs 662."""
    visits = [visit(n, "local", error="down" if n == 20 else "") for n in range(40) if n not in (8, 9)]
    found = {picture.name: picture for picture in days.pictures(visits)}
    assert list(found) == ["days", "availability", "ttft", "call", "decode", "cost"]
    lines = re.findall(r'<polyline class="line s0" points="([^"]*)"', found["ttft"].svg)
    assert [len(line.split()) for line in lines] == [4, 5, 9]
    assert found["decode"].why == "p50 of local is nowhere known: not told"
    assert found["cost"].why == "nothing was charged, as far as is known"
    assert "p99 of local is nowhere known: needs 366 more requests" in found["ttft"].caption
    assert found["availability"].svg.count('class="well"') == 37
    assert found["availability"].svg.count('class="lost"') == 1


def test_a_point_of_which_a_visit_was_missed_stands_alone() -> None:
    """A p99 of 104 visits; one of the second 104 was missed, which leaves enough for a point."""
    visits = [visit(n, "local") for n in range(320) if n != 150]
    ttft = {picture.name: picture for picture in days.pictures(visits)}["ttft"].svg
    assert [len(line.split()) for line in re.findall(r'<polyline class="line s0 dashed" points="([^"]*)"', ttft)] == [1, 1, 1]


def test_a_bar_is_narrower_by_what_was_missed() -> None:
    """336 rounds in 168 bars: 676 pixels of them, 4.02 each. Each server missed one of the first two rounds; one visit failed later."""
    visits = [visit(0, "other"), *(visit(n, "local", error="down" if n == 100 else "") for n in range(1, 336))]
    picture = {picture.name: picture for picture in days.pictures(visits)}["availability"].svg
    widths = [float(width) for width in re.findall(r'class="well"[^>]* width="([\d.]+)"', picture)]
    assert widths[:3] == [2.0, 2.0, 4.0]
    assert (picture.count('class="fault"'), picture.count('class="limit"')) == (1, 0)


def test_costs_add_up_and_stop_where_nobody_looked() -> None:
    """A dollar a visit, but not in round 2: 1, 2, a gap, 3."""
    visits = [msgspec.structs.replace(visit(n, "cloud"), usd=1.0) for n in (0, 1, 3)]
    cost = {picture.name: picture for picture in days.pictures(visits)}["cost"].svg
    assert re.findall(r"cloud: \$ so far ([\d.]+) at", cost)[::2] == ["1", "2", "3"]
    assert [len(line.split()) for line in re.findall(r'<polyline class="line s0" points="([^"]*)"', cost)] == [2, 1]


def test_any_observation_is_drawn(tmp_path: Path) -> None:
    """A clock that was set back, a round that is years away, one visit alone, many servers."""
    odd = [visit(1, "a"), msgspec.structs.replace(visit(0, "a"), when="2026-12-01T00:00:00+00:00"), visit(300_000, "b")]
    odd[2] = msgspec.structs.replace(odd[2], when="2035-06-01T00:00:00+02:00")
    for visits in (odd, odd[:1], [visit(n, f"server {n}") for n in range(20)]):
        page = observed.page_of("x", visits, {}, DAY)
        harmless(page)
        assert len(page) < 500_000


def test_a_site_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    with pytest.raises(StoreError, match="cannot be made"):
        site.build(Board(rows=(), day=DAY), {}, [], tmp_path / "site")


def test_the_page_beside_a_result_never_fails_a_run(tmp_path: Path) -> None:
    path = stored(tmp_path, sample_run.result())
    said: list[str] = []
    site.keep_page(path, said.append)
    assert said == []
    page = (path / site.PAGE).read_text()
    harmless(page)
    assert "<nav" not in page  # nothing lies beside it
    (path / "events.parquet").write_bytes(b"")
    site.keep_page(path, said.append)
    assert len(said) == 1
    assert "report.html could not be written" in said[0]


def test_a_sensor_that_was_silent_leaves_a_gap(tmp_path: Path) -> None:
    """A reading every tenth of a second in three trials a second apart, of half a second each: each is a stretch of its own."""
    path = stored(tmp_path, sample_run.result(), samples=5)
    power = {picture.name: picture for picture in site.result_pictures(path)}["power"].svg
    assert [len(line.split()) for line in re.findall(r'<polyline class="line s0" points="([^"]*)"', power)] == [5, 5, 5]


def test_latency_against_load_of_one_shape_only() -> None:
    points = [
        point(1, ttft_p50_ms=50.0),
        point(4, ttft_p50_ms=90.0),
        point(16, ttft_p50_ms=300.0),
        point(8, pp=64, ttft_p50_ms=9.0),
    ]
    (found,) = pictures.loads(summary(*points))
    assert found.svg.count('class="point') == 3
    (sound,) = pictures.loads(summary(*points[:3], point(32, verdict="invalid", ttft_p50_ms=1.0)))
    assert sound.svg.count('class="point') == 3
    (none,) = pictures.loads(summary(point(1, ttft_p50_ms=50.0)))
    assert none.why == "it was not measured at several loads of one shape"


def test_pauses_are_those_of_measured_requests_that_were_answered_whole(tmp_path: Path) -> None:
    """By hand: 10 ms, 10 ms and 40 ms count; a bare role, a warm-up and a failed request do not. 30 bins a decade: 10 ms is bin 30,
    40 ms bin 48."""

    def record(index_: int, phase: str, error: str | None, *at_ms: int) -> Record:
        start = Event(1_000_000, "role", "", None)
        events = (start, *(Event(each * 1_000_000, "content", "x", 1) for each in at_ms))
        return msgspec.structs.replace(sample_run.records(0, 1)[0], index=index_, phase=phase, error=error, events=events)

    records = [
        record(0, "measure", None, 5, 15, 25, 65),
        record(1, "warmup", None, 5, 7),
        record(2, "measure", "reset", 5, 8),
        record(3, "measure", None, 9),
    ]
    made = ResultFolder.create(tmp_path, "sample", "", sample_run.plan())
    made.add_trial(sample_run.trial(0), records, [])
    made.finish(sample_run.result(trials=1))
    (found,) = series.read(made.path, series.open_tables()).gaps
    assert (found.cell, found.bins, found.p50_ms, found.p99_ms) == (sample_run.cell().id, {30: 2, 48: 1}, 10.0, 40.0)
    drawn = {picture.name: picture for picture in site.result_pictures(made.path)}
    assert drawn["gaps"].caption == "3 pauses; half are below 10 ms, 99 % below 40 ms."
