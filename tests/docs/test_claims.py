"""The claims of the pages are found, so that whoever draws some of them draws from all."""

from __future__ import annotations

from tests.docs.claims import claims, every

PAGE = """# Title 1

It keeps `x` for 5 days. It says nothing that anybody could count. So `y` is gone: the next one is `z`, as before.

| a `code` | some more words of it |
|---|---|
| `lane` | the state of the lane since 9:00 |

- the first of them has `code` in its line

```sh
bankgw status 1
```
"""


def test_sentences_rows_and_items_with_code_or_numbers_are_claims() -> None:
    assert list(claims(PAGE)) == [
        "It keeps `x` for 5 days.",
        "So `y` is gone: the next one is `z`, as before.",
        "| `lane` | the state of the lane since 9:00 |",
        "- the first of them has `code` in its line",
    ]


def test_every_folder_of_pages_has_claims() -> None:
    found = every()
    assert len(found) > 1000  # noqa: PLR2004
    assert {path.split("/")[1] for path, _one in found} == {"do", "learn", "understand"}
