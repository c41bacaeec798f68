"""The order of documents whose sort fields are equal."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from handlers.storage.documents import break_ties

dates = st.integers(0, 2).map(DatetimeMS)
documents = st.lists(st.fixed_dictionaries({}, optional={"at": dates, "n": st.integers(0, 1)}), max_size=6)


@given(documents, st.sampled_from([1, -1]), st.booleans(), st.randoms(use_true_random=False))
def test_ties_are_in_the_order_of_insertion(
    inserted: list[dict[str, Any]], direction: int, by_both: bool, random: Any
) -> None:
    sort = [("at", direction), *([("n", 1)] if by_both else [])]
    numbered = [{**document, "$recordId": number} for number, document in enumerate(inserted)]

    def key(document: dict[str, Any]) -> tuple[int, int]:
        at = int(document.get("at", -1)) * direction
        return at, document.get("n", -1) if by_both else 0

    expected = sorted(numbered, key=key)
    random.shuffle(numbered)
    given_order = sorted(numbered, key=key)
    assert break_ties([{**each} for each in given_order], sort) == [
        {name: value for name, value in each.items() if name != "$recordId"} for each in expected
    ]
