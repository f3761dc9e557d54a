"""Pictures: a golden file of each kind, that nothing lies outside or on top of each other, and that words are only words."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.plots import draw, frame, style
from harness.report.plots.draw import Bar, Mark
from harness.report.plots.frame import CHARACTER, HEIGHT, LINE, WIDTH, Series
from harness.report.plots.scale import Axis, fit, shown

GOLDEN = Path(__file__).parent / "golden"
TIME = Axis(label="", time=True, ends=(0.0, 180.0))
X, Y = Axis(label="tokens per second", log=True), Axis(label="Elo")
HOSTILE = '"><script>alert(1)</script>&<img src=x onerror=alert(1)>'

CLOUD = draw.cloud(
    [
        Mark(x=40, y=1420, y_range=(1410, 1430), x_range=(38, 43), tone=0.9, label="ours", detail="ours: Elo 1420", href="#r0"),
        Mark(x=90, y=1400, radius=14, tone=0.1, hollow=True, label="theirs", detail="theirs: Elo 1400"),
        Mark(x=91, y=1401, label="near it", detail="near it: Elo 1401"),
    ],
    X,
    Y,
    title="Quality",
)
CURVES = draw.curves(
    [
        Series(name="p50", x=[1, 2, 4], y=[50, 60, 90], ranges=[(45, 55), (55, 66), (80, 99)]),
        Series(name="p99", x=[1, 2, 4], y=[80, None, 400]),
    ],
    Axis(label="requests in flight", log=True, at=(1.0, 2.0, 4.0)),
    Axis(label="ms", log=True),
    title="Latency",
)
TIMELINE = draw.curves(
    [Series(name="gpu0 (nvml)", x=[0, 1, 2, 3], y=[30, 62, 61, None], dots=False)],
    Axis(label="seconds"),
    Axis(label="W"),
    title="Power",
)
LANES = draw.stack(
    [
        draw.lanes(
            [
                (
                    "local",
                    [Bar(start=0, end=60, share=1, detail="all"), Bar(start=120, end=180, share=0, failed=True, detail="none")],
                ),
                ("cloud", [Bar(start=0, end=60, share=0.5, limited=True, detail="half")]),
            ],
            TIME,
            title="Availability",
        ),
        draw.curves(
            [Series(name="local p50", x=[30, 90, 150], y=[40, None, 50], hue=0)],
            TIME,
            Axis(label="ms"),
            title="TTFT",
            height=210,
        ),
    ],
    below="UTC, 1970-01-01",
    title="Days",
)
DISTRIBUTION = draw.distribution(
    [1, 2, 4, 8], [10, 80, 10], Axis(label="ms", log=True), title="Pauses", lines=[("p50", 3.0), ("p99", 7.5)]
)


@pytest.mark.parametrize(
    ("name", "picture"),
    [("cloud", CLOUD), ("curves", CURVES), ("timeline", TIMELINE), ("lanes", LANES), ("distribution", DISTRIBUTION)],
)
def test_each_kind(name: str, picture: str) -> None:
    """HARNESS_UPDATE_GOLDEN=1 writes them; look at them before keeping them."""
    text, path = style.alone(picture), GOLDEN / f"plot-{name}.svg"
    ElementTree.fromstring(text)
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_stack_is_as_high_as_what_is_in_it() -> None:
    """Two lanes of 48 above 26 of ticks and 16 of room; curves of 210; a line of 26 below."""
    assert frame.size(LANES) == (760.0, 16 + 2 * 48 + 26 + 210 + 26)
    assert 'width="760" height="374"' in style.alone(LANES)


def test_lanes_show_what_went_well_what_did_not_and_where_nobody_looked() -> None:
    """676 pixels are 180 s: a bar of 60 s is 225.3 wide, from 64 on; it is 20 high."""
    well, lost = (
        re.findall(rf'class="{kind}" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', LANES)
        for kind in ("well", "lost")
    )
    assert well == [("64.0", "38.0", "225.3", "20.0"), ("64.0", "96.0", "225.3", "10.0")]
    assert lost == [("514.7", "38.0", "225.3", "20.0"), ("64.0", "86.0", "225.3", "10.0")]
    assert (LANES.count('class="limit"'), LANES.count('class="fault"')) == (1, 1)
    assert LANES.count('tabindex="0"') == 4  # what went wrong, and two values that stand alone


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 90.0, ["Jan 1", "00:00:15", "00:00:30", "00:00:45", "00:01", "00:01:15", "00:01:30"]),
        (50_000.0, 100_000.0, ["15:00", "18:00", "21:00", "Jan 2", "03:00"]),
        (0.0, 7 * 86_400.0, ["Jan 1", "Jan 2", "Jan 3", "Jan 4", "Jan 5", "Jan 6", "Jan 7", "Jan 8"]),
        (0.0, 400 * 86_400.0, ["Jan 1", "Feb 20", "Apr 11", "May 31", "Jul 20", "Sep 8", "Oct 28", "Dec 17", "Feb 5"]),
    ],
)
def test_time_is_shown_as_days_and_hours(low: float, high: float, words: list[str]) -> None:
    scale = fit([], Axis(label="", time=True, ends=(low, high)), 0, 100)
    assert [scale.tick(each) for each in scale.ticks(8)] == words


MACHADO = {  # Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as it looks without one kind of cone
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(color: str) -> list[float]:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def lab(rgb: Sequence[float]) -> list[float]:
    white = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(a * min(max(b, 0), 1) for a, b in zip(row, rgb, strict=True)) / sum(row) for row in white]
    x, y, z = (each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in xyz)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


@pytest.mark.parametrize("colors", [style.LIGHT, style.DARK])
@pytest.mark.parametrize("eyes", MACHADO)
@pytest.mark.parametrize(("names", "apart"), [([f"s{n}" for n in range(8)], 12), (["t0", "t1", "t2", "t3", "t4", "tu"], 25)])
def test_colours_can_be_told_apart(colors: dict[str, str], eyes: str, names: list[str], apart: float) -> None:
    seen = {
        name: lab([sum(a * b for a, b in zip(row, linear(colors[name]), strict=True)) for row in MACHADO[eyes]])
        for name in names
    }
    near = {(one, other): math.dist(seen[one], seen[other]) for one, other in combinations(names, 2)}
    assert {pair: distance for pair, distance in near.items() if distance < apart} == {}


@pytest.mark.parametrize("colors", [style.LIGHT, style.DARK])
def test_colours_stand_out_from_the_paper(colors: dict[str, str]) -> None:
    """WCAG 1.4.11: 3:1."""
    light = {
        name: sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(color), strict=True)) for name, color in colors.items()
    }
    for name in set(colors) - {"paper", "grid"}:
        low, high = sorted((light[name], light["paper"]))
        assert (high + 0.05) / (low + 0.05) >= 3, name


def test_a_file_of_one_colour_has_no_variables() -> None:
    assert "var(" not in style.alone(CLOUD, dark=True)
    assert f".plot .paper{{fill:{style.DARK['paper']}}}" in style.alone(CLOUD, dark=True)
    assert '<rect class="paper" width="100%" height="100%"/>' in style.alone(
        CLOUD, dark=True
    )  # what makes PNG knows no background


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(finite, finite, st.text(max_size=30)), max_size=12), st.booleans(), st.booleans())
def test_marks_lie_inside_and_words_are_only_words(points: list[tuple[float, float, str]], log: bool, zero: bool) -> None:
    marks = [Mark(x=x, y=y, label=f"{words}{HOSTILE}", detail=f"{words}{HOSTILE}", href=HOSTILE) for x, y, words in points]
    marks = [one for one in marks if not re.search(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", one.label)]
    picture = draw.cloud(marks, Axis(label=HOSTILE, log=log), Axis(label="y", zero=zero), title=HOSTILE)
    root = ElementTree.fromstring(picture)
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(circles) == len(marks)
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= WIDTH
        assert 0 <= float(circle.attrib["cy"]) <= HEIGHT
    tags = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert tags <= {"svg", "g", "a", "title", "text", "line", "circle"}
    assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]


def test_labels_do_not_touch() -> None:
    marks = [Mark(x=10 + n, y=100 + n % 3, label=f"system number {n}", detail="") for n in range(30)]
    picture = draw.cloud(marks, Axis(label="x"), Axis(label="y"), title="t")
    boxes = [
        (float(x), float(y), float(x) + len(words) * CHARACTER)
        for x, y, words in re.findall(r'<text class="name" x="([\d.]+)" y="([\d.]+)" text-anchor="start">([^<]+)', picture)
    ]
    assert 3 < len(boxes) < 30
    for one in boxes:
        for other in boxes:
            assert one is other or abs(one[1] - other[1]) >= LINE - 0.1 or one[2] <= other[0] or other[2] <= one[0]


def test_names_of_many_curves_stay_inside() -> None:
    series = [Series(name=f"a system with a long name {n}", x=[1, 2], y=[1, n]) for n in range(8)]
    picture = draw.curves(series, Axis(label="x"), Axis(label="y"), title="t")
    names = re.findall(r'<text class="name" x="([\d.]+)"[^>]*>([^<]+)', picture)
    assert len(names) == 8
    assert all(float(x) + len(words) * CHARACTER <= WIDTH for x, words in names)


def test_a_gap_is_not_bridged() -> None:
    picture = draw.curves(
        [Series(name="w", x=[0, 1, 2, 3, 4], y=[1, 2, None, 3, 4])], Axis(label="s"), Axis(label="W"), title="t"
    )
    assert picture.count("<polyline") == 2


def test_a_value_alone_is_seen_where_there_are_no_dots() -> None:
    one = Series(name="w", x=[0, 1, 2, 3], y=[1, None, 3, 4], dots=False)
    assert draw.curves([one], Axis(label="s"), Axis(label="W"), title="t").count("<circle") == 1


def test_intervals_are_drawn_to_their_ends() -> None:
    """By hand: Elo 1400 to 1440 with 6 % of room on both sides; the picture is 420 high, 16 above and 52 below."""
    picture = draw.cloud([Mark(x=10, y=1420, y_range=(1400, 1440), label="", detail="")], X, Y, title="t")
    ends = re.search(r'class="interval" x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)"', picture)
    assert ends is not None
    bottom, top = 420 - 52, 16
    pixel = (bottom - top) / (40 * 1.12)
    assert [float(end) for end in ends.groups()] == pytest.approx([bottom - 2.4 * pixel, bottom - 42.4 * pixel], abs=0.06)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(min_value=1e-9, max_value=1e12), min_size=1), st.booleans())
def test_ticks_are_few_and_inside(values: list[float], log: bool) -> None:
    scale = fit(values, Axis(label="", log=log), 0, 100)
    ticks = scale.ticks(8)
    assert len(ticks) <= 10
    assert all(scale.low <= tick <= scale.high for tick in ticks)


@pytest.mark.parametrize(("value", "words"), [(0.05, "0.05"), (250, "250"), (12000, "12k"), (3e6, "3M"), (0, "0")])
def test_numbers_on_an_axis(value: float, words: str) -> None:
    assert shown(value) == words
