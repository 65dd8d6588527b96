"""The report page in a real browser: it asks for nothing, can be sorted and filtered by hand, fits a phone, prints."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fakes import content_of, many, replicate, trial

from sweeps.trial_record import Outcome
from sweeps.views.page.template import page_of

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is found on the path: apt-get install chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
RENDER_SECONDS = 10.0
"""Of 1,000 trials: about one on an idle machine; what is held is that it does not grow with their square."""

BEYOND = """() => [...document.querySelectorAll('svg.chart text')].filter(text => {
  const box = text.getBoundingClientRect(), frame = text.closest('svg').getBoundingClientRect();
  return box.width && (box.left < frame.left - 2 || box.right > frame.right + 2);
}).map(text => text.textContent)"""
"""Text of charts that reaches out of its picture."""

LOW_CONTRAST = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const part = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.map(v => part(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const c = rgb(getComputedStyle(at).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const kinds = 'p, td, th, li, a, button, dt, dd, small, code, summary, text:not(.over):not(.under)';
  return [...document.querySelectorAll(kinds)].flatMap(element => {
    if (!element.textContent.trim() || !element.getBoundingClientRect().width) return [];
    const style = getComputedStyle(element);
    const ink = rgb(element.tagName === 'text' ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(element).slice(0, 3))].sort((x, y) => y - x);
    return (a + .05) / (b + .05) < 4.5 ? [`${element.tagName} ${element.textContent.slice(0, 20)}`] : [];
  });
}"""
"""Elements whose text has less contrast than WCAG AA asks for, 4.5 to 1."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep with whatever a page can show."""
    records = [
        *many(24),
        trial(24, accuracies=(0.1,), outcome=Outcome.DIVERGED, error="the loss was nan"),
        trial(25, accuracies=(), outcome=Outcome.FAILED, error="<b>no</b>", traceback="Traceback\n" + "x" * 400),
    ]
    confirmed = [replicate(records[0], seed=seed, accuracy=0.6 + 0.01 * seed) for seed in (1, 2)]
    path = tmp_path_factory.mktemp("page") / "made.html"
    path.write_text(page_of(content_of(records, replicates=confirmed)), encoding="utf-8")
    return path


Open = Callable[..., Any]


@pytest.fixture
def show(browser: Any, file: Path) -> Iterator[Open]:
    """Open the page; at the end nothing may have been complained of, or asked for beyond the file."""
    pages, complaints = [], []

    def show(*, path: Path = file, **options: Any) -> Any:
        page = browser.new_page(**({"viewport": {"width": 1200, "height": 900}} | options))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.set_default_timeout(5000)
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert complaints == []


def column(page: Any, name: str) -> list[str]:
    """Return the shown cells of a column of the leaderboard."""
    return page.evaluate(
        """name => { const heads = [...document.querySelectorAll('#board thead th')].map(h => h.textContent);
        const at = heads.indexOf(name); return [...document.querySelectorAll('#board tbody tr:not([hidden])')]
        .map(row => row.cells[at].textContent) }""",
        name,
    )


def test_a_heading_sorts_both_ways_and_says_so(show: Open) -> None:
    page = show()
    button = page.get_by_role("button", name="lr", exact=True)

    button.click()
    rising = [float(cell) for cell in column(page, "lr")]
    button.click()
    falling = [float(cell) for cell in column(page, "lr")]

    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert page.locator("#board th[aria-sort=descending]").inner_text().startswith("lr")
    assert page.locator("#board th[aria-sort=ascending]").count() == 0


def test_what_has_no_value_stays_below_however_it_is_sorted(show: Open) -> None:
    page = show()
    button = page.get_by_role("button", name="rank", exact=True)

    for _ in range(2):
        button.click()
        assert column(page, "rank")[0] != ""
        assert column(page, "rank")[-1] == ""


def test_the_keyboard_alone_sorts_filters_and_highlights(show: Open) -> None:
    page = show()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("searchbox", name="Filter").focus()

    page.keyboard.type("resnet lr<0.05")

    models, rates = column(page, "model"), column(page, "lr")
    assert set(models) == {"resnet"}
    assert all(float(rate) < 0.05 for rate in rates)
    assert page.locator("#filter-count").inner_text() == f"{len(models)} of 26 rows"

    page.get_by_role("button", name="epochs", exact=True).focus()
    page.keyboard.press("Enter")
    assert column(page, "epochs") == sorted(column(page, "epochs"), key=float)

    page.locator("#board tbody tr:not([hidden]) button.pick").first.focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.querySelectorAll('svg .on').length") > 5
    assert "is highlighted in every chart" in page.locator("#said").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.querySelectorAll('.on').length") == 0


@pytest.mark.parametrize(
    ("typed", "left"), [("val acc>60", 8), ("status=failed", 1), ("nothing-like-it", 0), ("epochs >= 12", 8), ("", 26)]
)
def test_a_filter_takes_words_and_comparisons(typed: str, left: int, show: Open) -> None:
    page = show()

    page.get_by_role("searchbox").fill(typed)

    assert len(column(page, "trial")) == left


def test_a_mark_in_a_chart_highlights_its_trial_everywhere(show: Open) -> None:
    page = show()
    page.locator("#history svg.chart [data-t='3']").first.click(force=True)

    assert page.locator("#picked").input_value() == "3"
    assert page.locator("#board tr.on").count() == 1
    assert page.locator("#slots .on").count() == 1


@pytest.mark.parametrize("width", [320, 400, 768, 1200])
def test_nothing_is_wider_than_the_screen(width: int, show: Open) -> None:
    page = show(viewport={"width": width, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    beyond = page.evaluate(BEYOND)
    assert beyond == []


def test_dark_and_light_are_the_systems_until_the_button_says_otherwise(show: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = (show(color_scheme=scheme) for scheme in ("light", "dark"))

    assert (light.evaluate(paper), dark.evaluate(paper)) == ("rgb(255, 255, 255)", "rgb(22, 24, 26)")
    dark.get_by_role("button", name="Light theme").click()
    assert dark.evaluate(paper) == "rgb(255, 255, 255)"
    assert dark.get_by_role("button", name="Dark theme").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: str, show: Open) -> None:
    page = show(color_scheme=scheme)
    low = page.evaluate(LOW_CONTRAST)

    assert low == []


def test_it_prints_in_light_without_controls(show: Open, tmp_path: Path) -> None:
    page = show(color_scheme="dark")
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_role("searchbox").is_visible()
    assert not page.get_by_role("navigation").is_visible()
    pdf = page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_a_thousand_trials_are_shown_while_a_person_waits(show: Open, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    path.write_text(page_of(content_of(many(1000))), encoding="utf-8")
    page = show()  # the browser itself is awake

    begun = time.monotonic()
    page = show(path=path)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert time.monotonic() - begun < RENDER_SECONDS
    assert page.locator("#board tbody tr").count() == 1000
