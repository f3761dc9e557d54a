"""Pictures: a golden file of each kind, that nothing lies outside or on top of each other, and that words are only words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.plots import draw, style
from harness.report.plots.draw import HEIGHT, WIDTH, Mark, Series
from harness.report.plots.scale import Axis, fit, shown

GOLDEN = Path(__file__).parent / "golden"
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
DISTRIBUTION = draw.distribution(
    [1, 2, 4, 8], [10, 80, 10], Axis(label="ms", log=True), title="Pauses", lines=[("p50", 3.0), ("p99", 7.5)]
)


@pytest.mark.parametrize(
    ("name", "picture"),
    [("cloud", CLOUD), ("curves", CURVES), ("timeline", TIMELINE), ("distribution", DISTRIBUTION)],
)
def test_each_kind(name: str, picture: str) -> None:
    """HARNESS_UPDATE_GOLDEN=1 writes them; look at them before keeping them."""
    text, path = style.alone(picture), GOLDEN / f"plot-{name}.svg"
    ElementTree.fromstring(text)
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_file_of_one_colour_has_no_variables() -> None:
    assert "var(" not in style.alone(CLOUD, dark=True)
    assert style.DARK["paper"] in style.alone(CLOUD, dark=True)


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
        (float(x), float(y), float(x) + len(words) * draw.CHARACTER)
        for x, y, words in re.findall(r'<text class="name" x="([\d.]+)" y="([\d.]+)" text-anchor="start">([^<]+)', picture)
    ]
    assert 3 < len(boxes) < 30
    for one in boxes:
        for other in boxes:
            assert one is other or abs(one[1] - other[1]) >= draw.LINE - 0.1 or one[2] <= other[0] or other[2] <= one[0]


def test_names_of_many_curves_stay_inside() -> None:
    series = [Series(name=f"a system with a long name {n}", x=[1, 2], y=[1, n]) for n in range(8)]
    picture = draw.curves(series, Axis(label="x"), Axis(label="y"), title="t")
    names = re.findall(r'<text class="name" x="([\d.]+)"[^>]*>([^<]+)', picture)
    assert len(names) == 8
    assert all(float(x) + len(words) * draw.CHARACTER <= WIDTH for x, words in names)


def test_a_gap_is_not_bridged() -> None:
    picture = draw.curves(
        [Series(name="w", x=[0, 1, 2, 3, 4], y=[1, 2, None, 3, 4])], Axis(label="s"), Axis(label="W"), title="t"
    )
    assert picture.count("<polyline") == 2


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
