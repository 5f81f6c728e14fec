"""Takes the picture of the web page that `docs/voices.md` shows, from a server that runs.

    sovits-export serve --voices VOICES
    python tools/page_picture.py VOICE [--base http://127.0.0.1:9880] [-o docs/images/server-page.png]

The second time that it speaks is kept: the first one reads dictionaries. Needs Playwright (extra dev), a Chromium of
the system, and nothing else at work on the machine, since the page says how fast it was.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "server-page.png"
TEXT = "Good morning. The red lamp in the kitchen is on. [pause 500ms] Your breakfast is ready."
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONGEST_MS = 120_000


def main() -> None:
    """Takes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voice")
    parser.add_argument("--base", default="http://127.0.0.1:9880")
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    options = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        raise SystemExit(f"got no Chromium, expected one of {', '.join(BROWSERS)}: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 880, "height": 1180})
        page.goto(options.base)
        page.select_option("#voice", options.voice)
        page.fill("#text", TEXT)
        for _ in range(2):
            speak(page)
        page.screenshot(path=options.output, full_page=True)
        print(f"{options.output}: {page.inner_text('#times')!r}")
        browser.close()


def speak(page: Page) -> None:
    """Presses the button, and waits until all of the sound is there."""
    page.click("#speak")
    page.wait_for_selector("#replay:disabled", timeout=LONGEST_MS)
    page.wait_for_selector("#replay:enabled", timeout=LONGEST_MS)


if __name__ == "__main__":
    main()
