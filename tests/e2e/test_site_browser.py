"""The site in a real browser, from files: what a reader can do with it, and what a hostile record cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmark.site import pages, write
from tests import browser
from tests.site_records import hostile, on_board, record, study

pytestmark = pytest.mark.skipif(browser.unwanted(), reason="LOSSBENCH_NO_BROWSER is set")

MANY, PHONE = 40, 390
PATIENCE = 120_000
"""Milliseconds that a busy machine may take for anything."""


@dataclass
class Heard:
    """What a page said and asked for while it was open."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = browser.find()
    if path is None:
        pytest.fail(browser.MISSING, pytrace=False)
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=list(browser.QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites") / "study"
    write.write(pages.site([on_board(study(("wine", "vlmop2")))], {}), folder, {})
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile names, and many methods."""
    records = [each for each in study(("wine",), 2) if each.spec.entrant in ("single_task", "equal")]
    records += [
        record(f"method_{i:02}", 1 + i / 9 + s / 50, 0.7, problem="wine", seed=s, weights=(1, 2)) for i in range(MANY) for s in range(2)
    ]
    folder = tmp_path_factory.mktemp("sites") / "foreign"
    write.write(pages.site([on_board(hostile()), on_board(records)], {}), folder, {})
    return folder


Open = Callable[..., tuple[Page, Heard]]


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    contexts: list[BrowserContext] = []

    def opened(path: Path, width: int = 1280, scheme: str = "light", *, script: bool = True, figures: bool = True) -> tuple[Page, Heard]:
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=script)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.set_default_navigation_timeout(PATIENCE)
        page, heard = context.new_page(), Heard()
        page.on("console", lambda said: heard.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: heard.errors.append(str(error)))
        page.on("request", lambda request: heard.requests.append(request.url))
        page.on("dialog", lambda dialog: (heard.dialogs.append(dialog.message), dialog.dismiss())[1])
        if not figures:  # what draws takes longer to read than all else together
            page.route("**/plotly.min.js", lambda route: route.abort())
        page.goto(path.as_uri())
        return page, heard

    yield opened
    for context in contexts:
        context.close()


def drawn(page: Page) -> int:
    """Scrolls through the page so that everything is drawn; how many figures there are."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.wait_for_function(
        """() => {
            const plots = [...document.querySelectorAll("[data-figure]")];
            const left = plots.find((plot) => !plot.querySelector(".main-svg"));
            if (left) left.scrollIntoView();
            return !left;
        }"""
    )
    return page.locator("[data-figure]").count()


def first_column(page: Page) -> list[str]:
    names: list[str] = page.eval_on_selector_all("table tbody tr:not([hidden]) th", "all => all.map((each) => each.textContent.trim())")
    return names


PAGES = ("index.html", "methods/gradnorm-alpha-0-12.html", "problems/vlmop2.html", "runs/broken--wine.html")


@pytest.mark.parametrize(("path", "figures"), list(zip(PAGES, (4, 4, 8, 0), strict=True)))
def test_a_page_fits_a_phone_without_an_error_or_a_request_elsewhere(path: str, figures: int, site: Path, open_page: Open) -> None:
    page, heard = open_page(site / path, PHONE)
    assert drawn(page) == figures
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert heard.errors == []
    assert heard.requests
    assert all(url.startswith(("file:", "data:")) for url in heard.requests), heard.requests


def test_a_leaderboard_fits_a_screen_and_a_phone_shows_its_first_interval(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "index.html", 1440, figures=False)
    assert page.evaluate("(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('.scroll'))") == 0
    page.set_viewport_size({"width": PHONE, "height": 800})
    interval = page.get_by_role("row", name="gradnorm(alpha=0.12)").locator("small").first.bounding_box()
    assert interval is not None
    assert interval["x"] + interval["width"] < PHONE


def test_long_names_stay_in_their_columns(foreign: Path, open_page: Open) -> None:
    page, _ = open_page(hostile_pages(foreign, 1)[0], figures=False)
    long = "z" * 300
    widths = page.evaluate(
        """(long) => {
            const button = [...document.querySelectorAll("thead button")].find((each) => each.textContent.startsWith("Δp"));
            button.textContent = long;
            return [button.scrollWidth, button.closest("th").scrollWidth - button.closest("th").clientWidth];
        }""",
        long,
    )
    assert 0 < widths[0] <= 160
    assert widths[1] <= 0


def test_headings_sort_by_mouse_and_by_keyboard(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "index.html", figures=False)
    assert first_column(page)[1] == "gradnorm(alpha=0.12)"
    heading = page.get_by_role("columnheader", name="Δm %", exact=True)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    order = first_column(page)
    assert order[-1] == "single_task"  # which has no Δm
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert first_column(page) == [*order[-2::-1], "single_task"]
    other = page.get_by_role("columnheader", name="method", exact=True)
    other.get_by_role("button").press("Space")
    assert first_column(page) == sorted(order)
    assert heading.get_attribute("aria-sort") is None
    assert page.locator("[aria-sort]").count() == 1


def test_rows_are_filtered_by_name_family_and_problem(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "index.html", figures=False)
    page.get_by_label("Name").fill("GRAD")
    assert first_column(page) == ["gradnorm(alpha=0.12)"]
    assert page.locator("[data-count]").text_content() == "1 of 4 rows"
    page.get_by_label("Name").fill("")
    page.get_by_label("Family").select_option("not in the registry")
    assert first_column(page) == ["broken"]
    page.get_by_label("Family").select_option("")
    assert page.get_by_role("columnheader", name="Δm % on wine").is_hidden()
    page.get_by_label("Problem").select_option("wine")
    shown = page.get_by_role("columnheader", name="Δm % on wine")
    assert shown.is_visible()
    assert shown.get_attribute("aria-sort") == "ascending"
    assert page.get_by_role("columnheader", name="IQM %").is_hidden()
    assert page.get_by_role("columnheader", name="Δm % on vlmop2").is_hidden()


def test_a_method_page_opens_by_click_and_by_keyboard_and_numbers_lead_to_records(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "index.html", figures=False)
    page.get_by_role("rowheader", name="equal").get_by_role("link").click()
    assert page.get_by_role("heading", level=1).text_content() == "equal"
    page.go_back()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("link", name="gradnorm(alpha=0.12)").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/methods/gradnorm-alpha-0-12.html")
    page.get_by_role("row", name="wine").get_by_role("link").nth(1).click()
    assert page.get_by_role("heading", level=1).text_content() == "gradnorm(alpha=0.12) on wine"
    assert page.get_by_text("--set 'gradnorm.alpha=0.12'").or_(page.get_by_text("--set gradnorm.alpha=0.12")).is_visible()
    assert page.get_by_text("records/wine/").count() == 3


def test_dark_follows_the_system_and_the_button(site: Path, open_page: Open) -> None:
    def brightness(page: Page) -> float:
        found: float = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, each) => sum + Number(each), 0) / 3"
        )
        return found

    page, _ = open_page(site / "index.html", scheme="dark")
    drawn(page)
    ink = "getComputedStyle(document.querySelector('.xtick text')).fill"
    dark = page.evaluate(ink)
    assert brightness(page) < 60
    page.get_by_role("button", name="Change to the light theme").click()
    assert brightness(page) > 200
    assert page.evaluate(ink) != dark
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.goto((site / "problems/wine.html").as_uri())
    assert brightness(page) > 200  # remembered
    bright, _ = open_page(site / "index.html", scheme="light", figures=False)
    assert brightness(bright) > 200


def test_the_chooser_decides_whose_lines_are_drawn(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "problems/wine.html")
    drawn(page)
    lines = "document.querySelector('[data-chosen]').querySelectorAll('.js-line').length"
    every = page.evaluate(lines)
    chip = page.get_by_role("button", name="equal", exact=True)
    assert chip.get_attribute("aria-pressed") == "true"
    chip.press("Enter")
    assert chip.get_attribute("aria-pressed") == "false"
    page.wait_for_function(f"{lines} < {every}")
    page.get_by_role("button", name="none").click()
    page.wait_for_function(f"{lines} === 0")
    page.get_by_role("button", name="as at first").click()
    page.wait_for_function(f"{lines} === {every}")


def test_many_methods_are_folded_until_the_reader_asks(foreign: Path, open_page: Open) -> None:
    page, heard = open_page(foreign / "suites/toy/index.html")
    drawn(page)
    shown = page.locator("[data-figure=figure-change] .ytick")
    few = shown.count()
    page.get_by_role("button", name=f"Show all {MANY + 1} rows").first.click()
    page.wait_for_function("document.querySelectorAll('[data-figure=figure-change] .ytick').length > 40")
    assert few <= 20
    assert heard.errors == []


def hostile_pages(folder: Path, count: int) -> list[Path]:
    """The first page of the hostile suite and so many of each other kind."""
    (board,) = (path for path in (folder / "suites").iterdir() if path.name != "toy")
    return [
        board / "index.html",
        *(path for kind in ("methods", "problems", "runs") for path in sorted((board / kind).iterdir())[1 : 1 + count]),
    ]


def test_nothing_of_a_hostile_record_runs(foreign: Path, open_page: Open) -> None:
    paths = hostile_pages(foreign, 1)
    page, heard = open_page(paths[0], PHONE)
    for path in paths:
        if path != paths[0]:
            page.goto(path.as_uri())
        if path.parent.name != "runs":
            assert drawn(page) > 2
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, path
        assert page.locator("main img, main iframe, main object, main script:not([type='application/json'])").count() == 0, path
        assert "<script>alert(1)</script>" in page.inner_text("main"), path
    assert heard.dialogs == []
    assert heard.errors == []
    assert all(url.startswith(("file:", "data:")) for url in heard.requests)


def test_a_script_that_got_in_would_not_run(site: Path, open_page: Open) -> None:
    page, heard = open_page(site / "index.html", figures=False)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
        }"""
    )
    assert page.title() != "taken over"
    assert any("Content Security Policy" in error for error in heard.errors)


def test_without_scripts_the_tables_are_whole(site: Path, open_page: Open) -> None:
    page, _ = open_page(site / "index.html", script=False)
    assert first_column(page) == ["single_task", "gradnorm(alpha=0.12)", "equal", "broken"]
    assert page.get_by_role("columnheader", name="Δm % on wine").is_visible()
    assert page.inner_text("main").count("This figure needs JavaScript") == 4
    assert page.get_by_label("Name").is_hidden()
