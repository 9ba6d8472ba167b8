"""Hostile texts in all places where people and models write: they change no page."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

import pytest
from folders import BIDI, ESCAPES, FORMULA, SCRIPT
from study_pages import (
    COMPARISONS,
    DEMONSTRATIONS,
    in_process,
    made_study,
    rows,
)

from burnish.config.study import StudyKind
from burnish.people.web.pages import page as rendered

BASICS = [
    "<b>",
    "</textarea>",
    "</title>",
    "</main>",
    '"',
    "'",
    "`",
    "&amp;",
    "&#60;script&#62;",
    "{{ 7*7 }}",
    "{% raw %}",
]
TAGS = [
    f"{before}<{tag}>{after}"
    for before, after in (("", ""), ("</textarea>", ""), ('">', "<!--"))
    for tag in (
        "script>alert(1)</script",
        "img src=x onerror=alert(1)",
        "svg onload=alert(1)",
        "iframe src=javascript:alert(1)",
        "a href=javascript:alert(1)",
        "body onload=alert(1)",
        "style>*{display:none}</style",
        "base href=//evil.example",
        "meta http-equiv=refresh content=0",
        "form action=//evil.example",
        "input autofocus onfocus=alert(1)",
        "object data=//evil.example",
        "link rel=stylesheet href=//evil.example",
        "template><script>alert(1)</script></template",
    )
]
HOSTILE = [
    *BASICS,
    *TAGS,
    SCRIPT,
    BIDI,
    ESCAPES,
    FORMULA,
    "\0",
    "\ud83d".encode("utf-8", "replace").decode(),
    "𝒳" * 500,
]


Shape = list[tuple[str, tuple[str, ...]]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [COMPARISONS, DEMONSTRATIONS])
def test_hostile_texts_change_no_page(tmp_path: Path, kind: StudyKind):
    assert len(HOSTILE) >= 60
    plain = shapes(tmp_path / "plain", kind, ["plain"] * len(HOSTILE))
    assert shapes(tmp_path / "hostile", kind, HOSTILE) == plain
    assert all(len({str(shape) for shape in shapes}) == 1 for name, shapes in plain.items() if name != "admin")


def test_a_hostile_text_changes_no_page(tmp_path: Path):
    texts = ["</textarea><script>alert(1)</script>"]
    assert shapes(tmp_path / "a", COMPARISONS, texts) == shapes(tmp_path / "b", COMPARISONS, ["plain"])


def shapes(folder: Path, kind: StudyKind, texts: list[str]) -> dict[str, list[Shape]]:
    """Return the tags of all pages of a study in which the texts stand wherever people and models write."""
    items = [row | {"id": f"{number}{texts[number]}"} for number in range(len(texts)) for row in rows(1, texts[number])]
    found: defaultdict[str, list[Shape]] = defaultdict(list)
    study = made_study(folder, kind, f"per_sitting: {len(texts)}\n", items)
    (study.path / "questions.yaml").write_text("")
    with in_process(study) as served:
        browser, page = served.begun(quote(f"x{texts[0]}"))
        for text in texts:
            assert browser.path.startswith("/task")
            found["question"].append(page.tags)
            if kind is DEMONSTRATIONS:
                again = browser.post(page.forms[0].action.replace("task", "draft"), {"text": text})
                found["draft"].append(again.tags)
                found["refused"].append(browser.send(page, text=text + "x" * 20_001).tags)
                page = browser.send(page, text=text + ".")
            else:
                found["refused"].append(browser.send(page, value="9", note=text).tags)
                page = browser.send(page, value="1", note=text)
        browser.send(page, text=texts[0])
        admin = served.admin()
        admin.post("/people/p001/review", {"verdict": "accept", "reason": texts[0] + "."})
        found["admin"] = [admin.get(path).tags for path in ("/", "/people", "/people/p001", "/items")]
        found["foreign"] = [admin.get("/people/" + quote(text.replace("/", "_"), safe="")).tags for text in texts]
    return dict(found)


def test_a_title_and_words_are_escaped(tmp_path: Path):
    title = "<script>alert(1)</script>"
    with in_process(made_study(tmp_path, DEMONSTRATIONS, f"title: '{title}'\n")) as served:
        page = served.browser().get("/guide")
    assert "script" not in {tag for tag, _ in page.tags}


def test_half_a_character_does_not_stop_a_page(tmp_path: Path):
    with in_process(made_study(tmp_path, DEMONSTRATIONS)) as served:
        words = served.pages.texts.words
        reply = rendered("message", 200, base="", rules=served.store.rules, words=words, message="\ud83d")
    assert bytes(reply.body).decode()
