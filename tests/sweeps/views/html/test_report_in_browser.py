"""The report in a real browser: it makes no requests, its charts are linked, it fits a phone, it prints."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fakes import content_of, many, replicate, trial

from sweeps.core.trial import Outcome
from sweeps.views.html.template import page_of

playwright_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
BEYOND = """() => [...document.querySelectorAll('.plot text')].filter(text => {
  const box = text.getBoundingClientRect(), frame = text.closest('svg').getBoundingClientRect();
  return box.width && (box.left < frame.left - 2 || box.right > frame.right + 2);
}).map(text => text.textContent)"""
"""Text that exceeds its chart."""

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
  const kinds = 'p, td, th, li, a, button, dt, dd, small, code, summary, text:not([fill*=over]):not([fill*=under])';
  return [...document.querySelectorAll(kinds)].flatMap(element => {
    if (!element.textContent.trim() || !element.getBoundingClientRect().width) return [];
    const style = getComputedStyle(element);
    const ink = rgb(element.tagName === 'text' ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(element).slice(0, 3))].sort((x, y) => y - x);
    return (a + .05) / (b + .05) < 4.5 ? [`${element.tagName} ${element.textContent.slice(0, 20)}`] : [];
  });
}"""
"""Elements with less contrast than WCAG AA requires, 4.5 to 1."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep with all kinds of content."""
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
    """Open the page; at the end there must be no console message, error or request for another file."""
    pages, problems = [], []

    def show(*, path: Path = file, **options: Any) -> Any:
        page = browser.new_page(**({"viewport": {"width": 1200, "height": 900}} | options))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if request.url != path.as_uri() else None)
        page.set_default_timeout(120_000)  # for a busy machine
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        pages.append(page)
        return page

    yield show
    for page in pages:
        page.close()
    assert problems == []


def column(page: Any, name: str) -> list[str]:
    """Return the visible cells of a column of the leaderboard."""
    return page.evaluate(
        """name => { const heads = [...document.querySelectorAll('#board thead th')].map(h => h.textContent);
        const at = heads.indexOf(name); return [...document.querySelectorAll('#board tbody tr:not([hidden])')]
        .map(row => row.cells[at].textContent) }""",
        name,
    )


def wait_until_others_fade(page: Any, section: str) -> None:
    """Return once the charts of the section show some marks as not highlighted."""
    page.wait_for_selector(f"#{section} .role-mark [opacity='0.08']", state="attached")


def wait_for_labels(page: Any, *, other_than: list[str]) -> list[str]:
    """Return the axis labels of the first chart once they have changed."""
    labels = "[...document.querySelectorAll('.axes .role-axis-label text')].map(text => text.textContent)"
    labels = labels.replace(".axes", "#history figure:first-child")
    page.wait_for_function(f"old => JSON.stringify({labels}) !== JSON.stringify(old)", arg=other_than)
    return list(page.evaluate(labels))


def test_the_leaderboard_sorts_both_ways_and_filters_by_words_and_comparisons(show: Open) -> None:
    page = show()
    button = page.get_by_role("button", name="lr", exact=True)
    for order, reverse in (("ascending", False), ("descending", True)):
        button.click()
        rates = [float(cell) for cell in column(page, "lr")]
        assert rates == sorted(rates, reverse=reverse)
        assert page.locator(f"#board th[aria-sort={order}]").all_inner_texts()[0].startswith("lr")
    for _ in range(2):  # empty cells stay last
        page.get_by_role("button", name="rank", exact=True).click()
        ranks = column(page, "rank")
        assert ranks[0] != ""
        assert ranks[-1] == ""
    filters = {"val acc>60": 8, "status=failed": 1, "nothing-like-it": 0, "epochs >= 12": 8, "": 26}
    for typed, left in filters.items():
        page.get_by_role("searchbox").fill(typed)
        assert len(column(page, "trial")) == left, typed


def test_the_keyboard_alone_sorts_filters_highlights_and_zooms(show: Open) -> None:
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
    page.get_by_role("button", name="Highlight these").press("Enter")
    assert f"{len(models)} trials: highlighted in every chart" in page.locator("#message").inner_text()
    wait_until_others_fade(page, "history")
    page.keyboard.press("Escape")
    assert page.evaluate("document.querySelectorAll('.on').length") == 0

    page.locator("#history .plot").first.focus()
    whole = wait_for_labels(page, other_than=[])
    page.keyboard.press("+")
    nearer = wait_for_labels(page, other_than=whole)
    page.keyboard.press("0")
    assert set(wait_for_labels(page, other_than=nearer)) == set(whole)
    page.keyboard.press("ArrowRight")
    assert "trial 0: " in page.locator("#message").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#picked").input_value() == "1"
    assert page.locator("#board tr.on").count() == 1
    page.locator("#history summary").first.press("Enter")
    page.locator("#history details tbody tr").first.wait_for()  # the table is built after the event
    assert page.locator("#history details tbody tr").count() == 25


def test_a_brush_or_a_click_highlights_trials_in_all_charts(show: Open) -> None:
    page = show()
    plot = page.locator("#history .plot").first
    plot.scroll_into_view_if_needed()
    frame = plot.locator(".background").first.bounding_box()
    page.mouse.move(frame["x"] + 2, frame["y"] + 2)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 3, frame["y"] + frame["height"] / 2, steps=4)
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] - 2, steps=4)
    page.mouse.up()

    for section in ("history", "parallel", "slices", "curves", "slots", "cost"):
        wait_until_others_fade(page, section)
    rows = page.locator("#board tr.on").count()
    assert 5 < rows < 20
    page.get_by_label("only highlighted rows").check()
    assert len(column(page, "trial")) == rows

    page.locator("#curves .plot").first.locator(".mark-symbol path").first.click(force=True)
    name = page.locator("#picked").input_value()
    assert page.locator("#message").inner_text().startswith(f"trial {name}: ")
    assert page.locator("#board tr.on").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_screen_or_hard_to_read(width: int, scheme: str, show: Open) -> None:
    page = show(viewport={"width": width, "height": 800}, color_scheme=scheme)

    assert int(page.evaluate("document.documentElement.dataset.drawn")) > 10
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(BEYOND) == []
    assert page.evaluate(LOW_CONTRAST) == []


def test_the_theme_is_the_systems_until_the_button_and_print_is_light(show: Open, tmp_path: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page = show(color_scheme="dark")

    assert page.evaluate(paper) == "rgb(22, 24, 26)"
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark theme").click()
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert not page.get_by_role("searchbox").is_visible()
    pdf = page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_a_thousand_trials_are_drawn(show: Open, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    path.write_text(page_of(content_of(many(1000))), encoding="utf-8")

    page = show(path=path)

    assert path.stat().st_size < 6_000_000
    assert page.locator("#board tbody tr").count() == 1000
