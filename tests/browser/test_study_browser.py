"""Both studies in a real browser: `make browser` runs this. It needs playwright, axe-playwright-python and Chromium."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from study_pages import COMPARISONS, DEMONSTRATIONS, made_study, rows, served

from burnish.config.study import StudyKind
from burnish.people.study import sittings
from burnish.people.study.folder import StudyFolder
from burnish.people.study.model import ItemRole
from burnish.people.study.reading import answers
from burnish.people.web import serving
from burnish.people.web.demo import demo_rows

CHROMIUM = os.environ.get("BURNISH_BROWSER", "")
if not CHROMIUM:
    pytest.skip("BURNISH_BROWSER does not name a browser; use `make browser`", allow_module_level=True)
playwright: Any = pytest.importorskip("playwright.sync_api")
axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright")

PICTURES = os.environ.get("BURNISH_PICTURES", "")
WIDTHS = (320, 1280)


@pytest.fixture(scope="module")
def chromium() -> Generator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A tab of the browser that notes whatever a page should not do."""

    def __init__(self, chromium: Any, script: bool = True, width: int = 1280) -> None:
        self.context = chromium.new_context(java_script_enabled=script, viewport={"width": width, "height": 800})
        self.page: Any = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))  # pyright: ignore
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))  # pyright: ignore
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def path(self) -> str:
        return httpx2.URL(self.page.url).path

    def text(self) -> str:
        return self.page.inner_text("main")

    def by_keyboard(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def send(self) -> None:
        """Press the first button, and wait for the next page."""
        with self.page.expect_navigation():
            self.page.click("button")

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(40):
            if self.page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with Tab")


def violations(tab: Tab) -> list[str]:
    found = axe.Axe().run(tab.page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]


def pictured(tab: Tab, name: str) -> None:
    if PICTURES:
        tab.page.screenshot(path=str(Path(PICTURES) / f"study-{name}.png"))


def first_good(page: Any) -> bool:
    return any(words in page.inner_text("section[aria-labelledby=first]") for words in ("a sea", "r^2", "rate is the"))


def answered(study: StudyFolder) -> list[str]:
    with study.opened_to_read() as db:
        return [one.text for one in answers(db) if one.role is ItemRole.WORK]


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_comparisons(tmp_path: Path, chromium: Any, script: bool, width: int):
    study = made_study(tmp_path, COMPARISONS, items=[dict(row) for row in demo_rows(6, 0)])
    with served(study) as pages:
        tab = Tab(chromium, script, width)
        tab.page.goto(pages.start.replace("...", "ann"))
        pictured(tab, f"welcome-{width}")
        tab.send()
        while tab.path() == "/task":
            value = -3 if first_good(tab.page) else 3
            tab.page.check(f"input[value='{value}']")
            tab.page.fill("#note", "I did the sum again.")
            if width > 320:
                pictured(tab, "comparison")
            tab.send()
        assert tab.path() == "/feedback"
        tab.send()
        assert str(study.rules().codes.complete.code) in tab.text()
        assert tab.wrong == []
    with study.opened_to_read() as db:
        assert len(list(answers(db))) == 6


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_demonstrations(tmp_path: Path, chromium: Any, script: bool, width: int):
    study = made_study(tmp_path, DEMONSTRATIONS, items=[dict(row) for row in demo_rows(6, 0)])
    with served(study) as pages:
        tab = Tab(chromium, script, width)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.send()
        number = 0
        while tab.path() == "/task":
            assert tab.page.is_visible("#clock") is script
            assert tab.page.is_visible("#save") is not script
            tab.page.fill("#text", f"Answer {number}\nMore.")
            if width > 320:
                pictured(tab, "demonstration")
            tab.send()
            number += 1
        assert number == 5
        tab.send()
        assert str(study.rules().codes.complete.code) in tab.text()
        assert tab.wrong == []
    assert len(answered(study)) == 2


@pytest.mark.parametrize("kind", [COMPARISONS, DEMONSTRATIONS])
def test_with_the_keyboard_alone(tmp_path: Path, chromium: Any, kind: StudyKind):
    study = made_study(tmp_path, kind)
    with served(study) as pages:
        tab = Tab(chromium)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.tab_to("button")
        with tab.page.expect_navigation():
            tab.by_keyboard("Enter")
        while tab.path() == "/task":
            if kind is COMPARISONS:
                good = first_good(tab.page)
                tab.tab_to("input[type=radio]")
                # The first arrow key chooses the point beside the first one, or the last one.
                tab.by_keyboard("Space") if good else tab.by_keyboard("ArrowLeft")
            else:
                tab.tab_to("textarea")
                tab.page.keyboard.type("An answer.")
            tab.tab_to("button")
            with tab.page.expect_navigation():
                tab.by_keyboard("Enter")
        tab.tab_to("button")
        with tab.page.expect_navigation():
            tab.by_keyboard("Enter")
        assert str(study.rules().codes.complete.code) in tab.text()


@pytest.mark.parametrize("kind", [COMPARISONS, DEMONSTRATIONS])
def test_pages_are_accessible_and_fit_a_narrow_screen(tmp_path: Path, chromium: Any, kind: StudyKind):
    study = made_study(tmp_path, kind, items=rows(6, " averyveryverylongword" * 9 + "x" * 200))
    with served(study) as pages:
        tab = Tab(chromium, width=320)
        tab.page.goto(pages.start.replace("...", "ann"))
        base = tab.page.url.removesuffix("/welcome")
        seen: dict[str, tuple[list[str], int]] = {}

        def look(name: str) -> None:
            wide = tab.page.evaluate("document.scrollingElement.scrollWidth")
            seen[name] = (violations(tab), wide)

        look("welcome")
        tab.send()
        look("first question")
        for path in ("guide", "privacy", "withdraw", "nothing"):
            tab.page.goto(f"{base}/{path}")
            look(path)
        tab.page.goto(f"{base}/task")
        while tab.path() == "/task":
            if kind is COMPARISONS:
                tab.page.check(f"input[value='{-3 if first_good(tab.page) else 3}']")
            else:
                tab.page.fill("#text", "An answer.")
            tab.send()
            look(f"after {tab.path()}")
        tab.send()
        look("code")
        admin = Tab(chromium)
        admin.page.goto(pages.admin)
        for path in ("", "people", "people/p001", "items", "agreement"):
            admin.page.goto(httpx2.URL(pages.admin).join(f"/{path}").__str__())
            seen[f"admin/{path}"] = (violations(admin), 0)
            pictured(admin, f"admin-{path.replace('/', '-') or 'overview'}")
    assert {name: found for name, (found, _) in seen.items() if found} == {}
    assert {name: wide for name, (_, wide) in seen.items() if wide > 320} == {}


def test_the_draft_is_saved_as_one_types_and_sent_at_the_limit(tmp_path: Path, chromium: Any):
    study = made_study(tmp_path, DEMONSTRATIONS, "per_sitting: 1\nleast_seconds: 1\nmost_seconds: 7\n")
    (study.path / "questions.yaml").write_text("")
    with served(study) as pages:
        tab = Tab(chromium)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.send()
        tab.page.type("#text", "Half a sen")
        playwright.expect(tab.page.locator("#saved")).to_have_text("Draft saved.", timeout=30_000)
        with study.opened_to_read() as db:
            assert db.execute("SELECT text FROM draft").fetchone()[0] == "Half a sen"
        tab.page.reload()
        assert tab.page.input_value("#text") == "Half a sen"
        tab.page.type("#text", "tence")
        tab.page.wait_for_url("**/feedback", timeout=30_000)
        assert tab.wrong == []
    with study.opened_to_read() as db:
        (one,) = answers(db)
    assert sorted(one.text) == sorted("Half a sentence")
    assert not one.late


def test_a_sitting_that_ends_while_one_types_keeps_the_draft(
    tmp_path: Path, chromium: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sittings, "GRACE", 0.0)
    monkeypatch.setattr(serving, "_SWEEP_SECONDS", 0.2)
    study = made_study(tmp_path, DEMONSTRATIONS, "per_sitting: 1\nminutes: 0.1\n")
    with served(study) as pages:
        tab = Tab(chromium)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.send()
        tab.page.type("#text", "Half a sen")
        playwright.expect(tab.page.locator("#saved")).to_have_text("Draft saved.", timeout=30_000)
        tab.page.wait_for_timeout(7000)
        tab.page.type("#text", "tence")
        playwright.expect(tab.page.locator("#saved")).to_have_text("Draft saved.", timeout=30_000)
        with study.opened_to_read() as db:
            assert db.execute("SELECT state FROM attempt").fetchone()[0] == "timed_out"
            assert "tence" in db.execute("SELECT text FROM draft").fetchone()[0]
        tab.send()
        assert tab.path() == "/ended"
        assert "The time for this study is over" in tab.text()
    with study.opened_to_read() as db:
        assert [one.late for one in answers(db)] == [True]


def test_hostile_texts_run_nothing(tmp_path: Path, chromium: Any):
    from people.test_study_hostile import HOSTILE

    hostile = [text for text in HOSTILE if text.strip()]
    items = [row | {"id": str(number)} for number, text in enumerate(hostile) for row in rows(1, text)]
    study = made_study(
        tmp_path, COMPARISONS, f"per_sitting: {len(hostile)}\ntitle: '<script>alert(1)</script>'\n", items
    )
    (study.path / "questions.yaml").write_text("")
    with served(study) as pages:
        tab = Tab(chromium)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.send()
        count = 0
        while tab.path() == "/task":
            tab.page.check("input[value='0']")
            tab.page.fill("#note", hostile[count % len(hostile)].replace("\0", ""))
            tab.send()
            # Nobody answers as fast as a script. The server would refuse to serve one who does.
            tab.page.wait_for_timeout(700)
            count += 1
        assert count == len(hostile) >= 60
        admin = Tab(chromium)
        admin.page.goto(pages.admin)
        for path in ("people/p001", "items"):
            admin.page.goto(str(httpx2.URL(pages.admin).join(f"/{path}")))
            assert admin.page.query_selector("script") is None
        # A refusal by the content security policy would be in the console.
        assert tab.wrong == admin.wrong == []
        # This shows that a refusal would have been heard.
        tab.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
        tab.page.wait_for_timeout(500)
        assert any("Content Security Policy" in text for text in tab.wrong)


def test_the_back_button_and_two_tabs_lose_nothing(tmp_path: Path, chromium: Any):
    study = made_study(tmp_path, DEMONSTRATIONS, "per_sitting: 2\n")
    (study.path / "questions.yaml").write_text("")
    with served(study) as pages:
        tab = Tab(chromium)
        tab.page.goto(pages.start.replace("...", "ann"))
        tab.send()
        other = tab.context.new_page()
        other.goto(tab.page.url)
        tab.page.fill("#text", "First.")
        tab.send()
        tab.page.go_back()
        assert "Question 2 of 2" in tab.text()
        other.fill("#text", "Second, from another tab.")
        with other.expect_navigation():
            other.click("button")
        assert "Question 2 of 2" in other.inner_text("main")
    assert answered(study) == ["First."]
