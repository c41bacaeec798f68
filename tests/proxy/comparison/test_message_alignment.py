"""Which messages of two servers belong together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.message_alignment import MessagePair, Signature, align_messages

messages = st.lists(st.builds(Signature, st.sampled_from("abc"), st.sampled_from("12")), max_size=12)


def signatures(text: str) -> list[Signature]:
    """Return signatures of kinds and contents: `a1 b a2`; those in capitals are unordered."""
    return [Signature(word[0], word[1:], is_unordered=word[0].isupper()) for word in text.split()]


def aligned(legacy: str, native: str) -> list[str]:
    """Return the pairs that are not at one index: `2-3`, `2-` for a missing, `-3` for an extra one; `!` for moved."""
    pairs = align_messages(signatures(legacy), signatures(native))
    shown = ["" if index is None else str(index) for pair in pairs for index in pair[:2]]
    named = [
        f"{one}-{other}" + "!" * pair.moved for one, other, pair in zip(shown[::2], shown[1::2], pairs, strict=True)
    ]
    return [name for name, pair in zip(named, pairs, strict=True) if pair.legacy != pair.native or pair.moved]


@pytest.mark.parametrize(
    ("legacy", "native", "expected"),
    [
        ("a b c", "a b c", []),
        ("a b c", "a c", ["1-", "2-1"]),
        ("a c", "a b c", ["1-2", "-1"]),
        ("a b c", "a x c", []),
        ("a1 a2 a3", "a1 a3", ["1-", "2-1"]),
        ("a b c", "a c b", ["1-2", "2-1!"]),
        ("s t t f", "s f t t", ["1-2", "2-3", "3-1!"]),
        ("s tF e t1 t2", "s t1 t2 tF e", ["1-3", "2-4", "3-1!", "4-2!"]),
        ("s f e P P P", "s P P P f e", ["1-4", "2-5", "3-1!", "4-2!", "5-3!"]),
        ("P f e P f e P", "P P f e P f e", ["1-2", "2-3", "3-1!", "4-5", "5-6", "6-4!"]),
        ("P f e", "P e f", ["1-2", "2-1!"]),
        ("P s Q", "P s", ["2-"]),
        ("", "a", ["-0"]),
        ("a", "", ["0-"]),
        ("a1 b", "a2 b", []),
    ],
    ids=["equal", "missing", "extra", "another kind", "the second of three", "swapped", "moved", "two moved",
         "three unordered after two",
         "unordered across two pairs", "swapped beside an unordered one", "unordered missing",
         "only native's", "only legacy's", "another content"],
)  # fmt: skip
def test_messages_are_paired_by_kind_and_content(legacy: str, native: str, expected: list[str]) -> None:
    assert aligned(legacy, native) == expected


@pytest.mark.parametrize("index", range(3))
def test_message_that_a_changed_field_forbids_to_move_is_paired(index: int) -> None:
    legacy = [Signature("text", "1", is_unordered=True), *signatures("a b")]
    legacy.insert(index, legacy.pop(0))
    native = [each if each.kind != "text" else Signature("text", "2") for each in legacy]
    assert align_messages(legacy, native) == [MessagePair(each, each) for each in range(3)]
    assert align_messages(native, legacy) == [MessagePair(each, each) for each in range(3)]


@given(messages, messages)
def test_messages_are_paired_exactly_once(legacy: list[Signature], native: list[Signature]) -> None:
    pairs = align_messages(legacy, native)
    assert sorted(pair.legacy for pair in pairs if pair.legacy is not None) == list(range(len(legacy)))
    assert sorted(pair.native for pair in pairs if pair.native is not None) == list(range(len(native)))
    assert all(pair[:2] != (None, None) for pair in pairs)


@given(messages)
def test_equal_messages_are_paired_by_their_index(legacy: list[Signature]) -> None:
    assert align_messages(legacy, legacy) == [MessagePair(index, index) for index in range(len(legacy))]


def test_many_messages_without_a_common_start_pair_by_index() -> None:
    legacy, native = signatures("a " * 1000), signatures("b " * 999)
    assert align_messages(legacy, native)[-1] == MessagePair(999, None)
