"""What documents promise by naming a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMED = [
    (document, *named)
    for document in ("SECURITY.md", "docs/reliability.md")
    for named in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / document).read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("document", "path", "test"), NAMED)
def test_a_test_that_a_document_names_is_there(document: str, path: str, test: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE), f"{document} names {path}::{test}"
