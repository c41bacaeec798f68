"""A quick look at two JSON texts: are they the same but for ids and dates that stand for each other?

Most answers are, so this is what most comparisons cost: the texts are split at their quotes, and only pieces that
differ are looked at, each pair once; the first pair before anything is split, for it mostly tells what is not alike.
It says yes only where the walk in `values.py` would find no difference; whatever could need a closer look (an id that
was renamed and stands for itself elsewhere, or among names, or on the other side) is left to the walk.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from operator import ne, not_

from proxy.canonical import Correspondence

_SHORTEST = 13
"""No id, date or token is shorter than this, and every id holds so many hexadecimal digits in a row."""
_QUOTE = b'"'
_HEX = bytes(48 if chr(code) in "0123456789abcdef" else 34 if code == _QUOTE[0] else 32 for code in range(256))
_AN_ID = b'"%b"' % (b"0" * 24)
_MENTION = b"0" * _SHORTEST


def is_alike(ours: bytes, theirs: bytes, begin: Callable[[], Correspondence]) -> bool:
    """Whether two JSON texts say the same, ids and dates that were renamed consistently aside.

    False says nothing yet. `begin` as for `values.compare_values`.
    """
    names = begin()
    if not _stand_for_each_other(*_first_unlike(ours, theirs), names):
        return False
    mine, others = ours.split(_QUOTE), theirs.split(_QUOTE)
    if len(mine) != len(others):
        return False
    differ = list(map(ne, mine, others))
    if any(after.lstrip()[:1] == b":" for after in set(compress(mine[1:], differ))):
        return False  # what differs is a name
    renamed = dict.fromkeys(compress(zip(mine, others, strict=True), differ))
    if not all(_stand_for_each_other(one, other, names) for one, other in renamed):
        return False
    ours_renamed = {one.decode("latin-1") for one, _ in renamed}
    theirs_renamed = {other.decode("latin-1") for _, other in renamed}
    here_known, there_known = names.renamed()
    kept = {one for one in compress(mine, map(not_, differ)) if len(one) >= _SHORTEST}
    return _are_apart(ours_renamed | here_known, theirs_renamed | there_known, kept)


def _first_unlike(ours: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    """What stands between quotes on either side where two texts differ first."""
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if ours[low:middle] == theirs[low:middle] else (low, middle - 1)
    start = ours.rfind(_QUOTE, 0, low) + 1
    return ours[start:].partition(_QUOTE)[0], theirs[start:].partition(_QUOTE)[0]


def _stand_for_each_other(one: bytes, other: bytes, names: Correspondence) -> bool:
    """Whether two pieces are the same but for ids and dates; what is escaped is left to the walk."""
    if b"\\" in one or b"\\" in other:
        return False
    return not names.compare_text(one.decode("latin-1"), other.decode("latin-1"), "")


def _are_apart(ours: set[str], theirs: set[str], kept: set[bytes]) -> bool:
    """Whether what was renamed is on its own side only, and nowhere as itself or, perhaps, amid other text."""
    if not ours.isdisjoint(theirs):
        return False
    hexadecimal = b'"%b"' % b'""'.join(kept).translate(_HEX)
    if _MENTION in hexadecimal.replace(_AN_ID, b""):
        return False
    texts = {one.decode("latin-1") for one in kept}
    return ours.isdisjoint(texts) and theirs.isdisjoint(texts)
