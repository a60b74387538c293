"""The part of a document around a citation: whole, in order, bounded, and on its page."""

from __future__ import annotations

import pytest

from answers.papers import pdf
from bedside.answers import Answers, index_folder


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("places")
    (folder / "documents").mkdir()
    long = "\n\n".join(f"# Part {number}\n\nDrawer {number} holds the labels of that part." for number in range(100))
    (folder / "documents" / "drawers.md").write_text(long, encoding="utf-8")
    (folder / "documents" / "alarm.pdf").write_bytes(pdf(["Nothing of interest."], ["The alarm panel hangs beside the", "back door."]))
    index_folder(folder / "documents", folder / "index.sqlite", by_meaning=False)
    return Answers.open(folder / "index.sqlite", by_meaning=False)


def test_a_place_comes_with_the_passages_near_by_in_their_order(answers: Answers) -> None:
    (hit,) = answers.retrieval.search("Drawer 50", 1)
    near = answers.retrieval.around("drawers.md", hit.start + 3)
    assert [one.heading for one in near] == [f"Part {number}" for number in range(30, 71)]
    assert answers.retrieval.around("drawers.md", hit.end - 1) == near


def test_of_a_document_with_pages_the_page_comes(answers: Answers) -> None:
    (hit,) = answers.retrieval.search("alarm panel", 1)
    (only,) = answers.retrieval.around("alarm.pdf", hit.start)
    assert only.page == 2 and "Nothing of interest" not in only.text


def test_a_place_that_is_not_there_has_nothing_around_it(answers: Answers) -> None:
    for source, start in (("drawers.md", 10**15), ("gone.md", 0), ("../drawers.md", 0), ("\0", 0), ("' OR 1=1 --", 0)):
        assert answers.retrieval.around(source, start) == []
