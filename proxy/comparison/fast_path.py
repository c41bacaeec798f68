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

from proxy.comparison.correspondence import Correspondence

_SHORTEST = 13
"""No id, date or token is shorter than this, and every id holds so many hexadecimal digits in a row."""
_QUOTE = '"'
_HEX = bytes(48 if chr(code) in "0123456789abcdef" else 34 if chr(code) == _QUOTE else 32 for code in range(256))
_AN_ID = b'"%b"' % (b"0" * 24)
_MENTION = b"0" * _SHORTEST


def is_equivalent(legacy: bytes, native: bytes, begin: Callable[[], Correspondence]) -> bool:
    """Whether two JSON texts say the same, ids and dates that were renamed consistently aside.

    False says nothing yet. `begin` as for `values.compare_values`.
    """
    names, ours, theirs = begin(), legacy.decode("latin-1"), native.decode("latin-1")
    if names.compare_text(*_first_unlike(ours, theirs), ""):
        return False
    (between, mine), (there_between, others) = _parted(ours), _parted(theirs)
    if between != there_between or len(mine) != len(others):
        return False
    differ = list(map(ne, mine, others))
    if any(after.lstrip()[:1] == ":" for after in set(compress(between[1:], differ))):
        return False  # what differs is a name
    ours_renamed, theirs_renamed = set(compress(mine, differ)), set(compress(others, differ))
    if any("\\" in one for one in ours_renamed | theirs_renamed):
        return False
    pairs = dict.fromkeys(zip(compress(mine, differ), compress(others, differ), strict=True))
    if any(names.compare_text(one, other, "") for one, other in pairs):
        return False
    ours_known, theirs_known = names.renamed()
    kept = {*between, *compress(mine, map(not_, differ))}
    return _are_apart(ours_renamed | ours_known, theirs_renamed | theirs_known, kept)


def _parted(text: str) -> tuple[list[str], list[str]]:
    """What stands between strings, and the strings; where some are escaped, some of either on the other's place."""
    parts = text.split(_QUOTE)
    return parts[::2], parts[1::2]


def _first_unlike(ours: str, theirs: str) -> tuple[str, str]:
    """What stands between quotes on either side where two texts differ first."""
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if ours[low:middle] == theirs[low:middle] else (low, middle - 1)
    start = ours.rfind(_QUOTE, 0, low) + 1
    return ours[start:].partition(_QUOTE)[0], theirs[start:].partition(_QUOTE)[0]


def _are_apart(ours: set[str], theirs: set[str], kept: set[str]) -> bool:
    """Whether what was renamed is on its own side only, and nowhere as itself or, perhaps, amid other text."""
    if not (ours.isdisjoint(theirs) and ours.isdisjoint(kept) and theirs.isdisjoint(kept)):
        return False
    long = '""'.join(one for one in kept if len(one) >= _SHORTEST)
    return _MENTION not in f'"{long}"'.encode("latin-1").translate(_HEX).replace(_AN_ID, b"")
