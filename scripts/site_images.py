"""Pictures of the board for the README: `python scripts/site_images.py site/index.html docs/images` (needs Chromium)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(page: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=[*args, "--disable-component-update"])
        for scheme in ("light", "dark"):
            opened = browser.new_page(viewport={"width": 1280, "height": 1300}, color_scheme=scheme)
            opened.goto(page.resolve().as_uri())
            opened.locator("th[data-key=elo] button").click()
            opened.mouse.move(0, 0)
            opened.evaluate("document.activeElement.blur()")
            opened.locator("#tip").wait_for(state="hidden")
            opened.screenshot(path=out / f"board-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
