"""The pages in a real Chromium: sorting, filters, tooltips, dark mode, a phone's width, and an accessibility checker. No network."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from harness.schema.observation import Visit
from harness.store.observations import Journal
from tests.paced_server import paced
from tests.simulated import healthy_gb10

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium"),
]
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
KINDS = ("index", "load", "results", "facts", "result", "report", "observation")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A site of one run with the sensors of a simulated GB10 and of everything published, by kind."""
    folder = tmp_path_factory.mktemp("site")
    env = dict(os.environ) | healthy_gb10(folder / "gb10")
    harness = (sys.executable, "-m", "harness")
    with paced(ttft_ms=20) as server:
        grid = ("--pp", "64", "--tg", "32", "--concurrency", "1,4,8", "--runs", "2", "--requests", "8")
        command = (*harness, "bench", "--url", server.url, *grid, "--results", str(folder / "results"))
        subprocess.run(command, env=env, capture_output=True, check=False, timeout=200)
    (report,) = (folder / "results").glob("*/*/report.html")
    observed(Journal(folder / "results", "week"))
    recipe = report.with_name("recipe.yaml")
    recipe.write_text(recipe.read_text() + f"# {HOSTILE}\n")
    done = subprocess.run(
        (*harness, "site", "--results", str(folder / "results"), "--out", str(folder / "site")), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (result,) = (folder / "site/results").glob("*.html")
    found = {name: folder / f"site/{name}.html" for name in KINDS[:4]}
    return {**found, "result": result, "report": report, "observation": folder / "site/observations/week.html"}


def observed(journal: Journal) -> None:
    """A day of visits every quarter of an hour to two servers; nobody looked for two hours, one was down, the other refused."""
    start = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
    journal.path.parent.mkdir()
    with journal.path.open("wb") as file:
        for number in [n for n in range(96) if not 40 <= n < 48]:
            for name, base, lost in (("local", 50.0, 0), (HOSTILE, 400.0, 3 if number % 9 == 0 else 0)):
                down = name == "local" and number == 70
                answered = 0 if down else 8 - lost
                visit = Visit(
                    endpoint=name,
                    round=number,
                    when=(start + datetime.timedelta(minutes=15 * number)).isoformat(),
                    error="it does not answer" if down else "",
                    sent=0 if down else 8,
                    answered=answered,
                    errors={"http_429": lost} if lost else {},
                    ttft_ms=tuple(base + each for each in range(answered)),
                    e2e_ms=tuple(2 * base + each for each in range(answered)),
                    usd=0.01 if name == HOSTILE else None,
                )
                file.write(msgspec.json.encode(visit) + b"\n")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(("npm", "pack", "--silent", "axe-core@4"), cwd=folder, capture_output=True, text=True, timeout=120)
    archives = list(folder.glob("*.tgz"))
    if not archives:
        pytest.skip(f"axe-core could not be fetched: {done.stderr[-200:]}")
    with tarfile.open(archives[0]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


class Opened:
    """A page, with all that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1280, dark: bool = False, script: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            has_touch=width < 600,
        )
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on(
            "console", lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def close(self) -> None:
        """Nothing was said, and nothing but the page itself was asked for."""
        assert self.errors == []
        assert [url for url in self.asked if not url.startswith("file://")] == []
        self.context.close()


def column(page: Page, key: str) -> list[str]:
    """What stands in the rows that are seen, from the top."""
    found: list[str] = page.evaluate(
        """key => { const heads = [...document.querySelectorAll('#board thead th')].map(h => h.dataset.key);
        return [...document.querySelectorAll('#board tbody tr')].filter(r => !r.hidden)
        .map(r => heads.indexOf(key) ? r.cells[heads.indexOf(key)].dataset.v ?? '' : r.cells[0].textContent) }""",
        key,
    )
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1280, 390])
def test_no_error_no_request_no_horizontal_scroll(browser: Browser, pages: dict[str, Path], kind: str, width: int) -> None:
    opened = Opened(browser, pages[kind], width=width)
    opened.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(opened.asked) == 1
    opened.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dark", [False, True])
def test_the_accessibility_checker_finds_nothing_serious(
    browser: Browser, pages: dict[str, Path], axe: str, kind: str, dark: bool
) -> None:
    opened = Opened(browser, pages[kind], dark=dark)
    opened.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    opened.page.evaluate(axe)
    found = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
    serious = [
        (one["id"], one["help"], len(one["nodes"]), one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
    opened.close()


def test_sorting(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"])
    button = opened.page.locator("th[data-key=decode_tok_s] button")
    button.click()
    values = column(opened.page, "decode_tok_s")
    known = [float(value) for value in values if value]
    assert known == sorted(known, reverse=True)
    assert len(known) > 5
    assert values[len(known) :] == [""] * (len(values) - len(known))
    assert opened.page.locator("th[aria-sort=descending]").get_attribute("data-key") == "decode_tok_s"
    button.press("Enter")
    assert [float(value) for value in column(opened.page, "decode_tok_s") if value] == sorted(known)
    opened.close()


def test_filters_and_columns(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"])
    page = opened.page
    whole = len(column(page, "id"))
    page.fill("#find", "gpt-oss decode_tok_s>60")
    found = column(page, "id")
    assert 0 < len(found) < whole
    assert all("gpt-oss" in name for name in found)
    assert all(float(value) > 60 for value in column(page, "decode_tok_s"))
    assert page.inner_text("#count") == f"{len(found)} of {whole} rows"
    page.fill("#find", "")
    page.select_option("#kind", "measured")
    assert len(column(page, "id")) == 1
    page.select_option("#kind", "")
    assert page.locator("th[data-key=usd_mtok_in]").is_hidden()
    page.click(".choice summary")
    page.check("[data-column=usd_mtok_in]")
    assert page.locator("th[data-key=usd_mtok_in]").is_visible()
    opened.close()


def test_tooltips_by_mouse_and_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"])
    page = opened.page
    mark = page.locator(".plot .mark").first
    mark.hover()
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert tip.inner_text() == mark.get_attribute("aria-label")
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.mouse.move(0, 0)
    page.locator(".plot a").first.focus()
    tip.wait_for(state="visible")
    page.locator("td[data-v] a").first.focus()
    page.wait_for_function("document.querySelector('#tip').innerText.includes('days old')")
    opened.close()


def test_a_tap_shows_where_a_figure_is_from(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"], width=390)
    page = opened.page
    cell = page.locator("td[data-v] a:visible").first
    cell.scroll_into_view_if_needed()
    cell.tap()
    page.locator("#tip").wait_for(state="visible")
    box = page.locator("#tip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    opened.close()


def test_dark_mode_follows_the_screen_until_it_is_chosen(browser: Browser, pages: dict[str, Path]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    opened = Opened(browser, pages["index"], dark=True)
    dark = opened.page.evaluate(paper)
    opened.page.click("#theme")
    light = opened.page.evaluate(paper)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(22, 24, 29)")
    opened.page.reload()
    assert opened.page.evaluate(paper) == light
    opened.close()


def test_without_a_script_the_tables_and_their_sources_are_there(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"], script=False)
    page = opened.page
    assert page.locator("#board tbody tr").count() > 20
    assert page.locator("th[data-key=usd_mtok_in]").is_visible()
    assert page.locator(".controls").is_hidden()
    link = page.locator("td[data-v] a").first
    target = link.get_attribute("href") or ""
    link.click()
    assert page.locator(target).is_visible()  # what was closed opens
    opened.close()


def test_the_board_scrolls_in_its_own_box_with_its_first_column_in_place(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"], width=390)
    page = opened.page
    box = page.locator(".scroll").first
    assert box.evaluate("each => each.scrollWidth > each.clientWidth")
    first = page.locator("#board tbody th").first
    before = first.bounding_box()
    box.evaluate("each => { each.scrollLeft = 300 }")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["x"] - after["x"]) < 1
    opened.close()


def test_days_of_visits_by_mouse_by_keyboard_and_without_a_script(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["observation"])
    page = opened.page
    page.locator(".well").first.hover()
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert tip.inner_text() == "local, 2026-11-24 00:00: 8 of 8 requests answered"
    page.locator(".mark[tabindex]:has(.limit)").nth(1).focus()
    page.wait_for_function("document.querySelector('#tip').innerText.includes('3 × http_429')")
    assert HOSTILE in page.inner_text("body")
    opened.close()
    plain = Opened(browser, pages["observation"], script=False)
    assert "it does not answer" in plain.page.inner_text("section[aria-labelledby=wrong]")
    assert plain.page.locator("section[aria-labelledby=parts] tbody tr").count() == 24
    plain.close()
    front = Opened(browser, pages["index"])
    front.page.click("text=week")
    assert front.page.url == pages["observation"].as_uri()
    front.context.close()


def test_conditions_as_the_command_has_them(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["index"])
    page = opened.page
    page.fill("#find", "model~OSS nodes = 2")
    found = column(page, "id")
    assert found
    assert all("gpt-oss" in name for name in found)
    page.fill("#find", "engine!=vllm provider~openai")
    assert column(page, "id") == []  # an API's engine is not known
    page.fill("#find", "provider~anthropic")
    assert len(column(page, "id")) > 1
    opened.close()


def test_a_hostile_recipe_is_only_words(browser: Browser, pages: dict[str, Path]) -> None:
    opened = Opened(browser, pages["result"])
    assert HOSTILE in opened.page.inner_text("body")
    opened.close()
