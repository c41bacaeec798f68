"""Names and docstrings: no word that misleads a reader, one class for a class name, plain sentences."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from proxy.config import renamed
from proxy.config.error_messages import all_keys
from tests.support.source_modules import modules

ROOT = Path(__file__).parent.parent
DROPPED = re.compile(
    r"adopts?|amid|anew|ask(s|ed|ing)?|aside|away|beside|breach|busy|clamp(ed)?|deed|duel|found|guardian|heard?|house"
    r"|keeps?|kept|lest|looks?|lose|lost|noted?|ours|patience|pauses|places?|pressure|rehears(al|ed?)|seen|stand(ing)?"
    r"|tell(s|ing)?|theirs|told|trial|turn(ed)?|uncompared|who|why"
)
"""Words with an exact term in the field: `report` for tell, `record` for note, `index` or `path` for place …"""
TERMS = re.compile(
    "keep_?alive|not_?found|keep_legacy|connection_lost|go(ing)?_away|keep_subprocess_alive", re.IGNORECASE
)
"""Terms of HTTP, WebSocket, asyncio and uvicorn, and the first words of environment variables."""
OPTIONS = {"--who", "--why"}
"""Options that stay: they are shorter to type than `--actor` and `--reason`, which they set."""
FORMER_KEYS = set(renamed.KEYS)
PRODUCT_WORDS = {"bench": {"note"}, "demo": {"note"}, "handlers": {"note"}, "tests": {"note", "ours", "theirs"}}
"""Words of the product: clinicians write notes. Tests compare native with Node, which is no backend."""
DROPPED_IN_TEST_NAMES = {"asked", "found", "heard", "patience", "stand", "told"}
"""A test's name is a sentence, in which the other dropped words are ordinary English, as in `in place of`."""
SUBORDINATE = re.compile(r"(?:^|[.;:?!]\s+)(What|Who|Whoever|Whether|That which)\b")
"""The beginning of a sentence without a subject."""
DIALECT = re.compile(
    r"\b(stand-in|held against|by and by|gives? way|takes? leave|whoever|whosoever|lest|anew|amid"
    r"|(none|true|false|empty|\w+error) where)\b",
    re.IGNORECASE,
)
"""Words of an earlier style of the project, which a reader had to decode."""
RIDDLE = re.compile(
    r"_(told|tells?|who|what|whatever|whoever|nobody|amid|anew|lest|asks?|asked|heard|rubbish|so)(?=_|$)"
)
"""Words in names of tests that hide the subject or the result: `what_is_nowhere_says_so`."""
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("*.md")])
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
NOT_A_VERB = re.compile(
    "(A|All|An|Another|Any|As|Both|Each|Every|Everything|From|Half|How|In|It|Its|No|Nothing|One|The|This|Two|Until|With"
    "|Without) "
)
"""First words of a docstring that says what a function is, not what it does."""


def words(identifier: str) -> list[str]:
    """Return the words of a snake_case, CamelCase or UPPER_CASE name, in lower case."""
    identifier = TERMS.sub("", identifier)
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)]


def has_dropped_word(name: str, allowed: set[str]) -> bool:
    """Return whether a name has a dropped word, other than the `allowed` ones."""
    if name.startswith("test_"):
        return not DROPPED_IN_TEST_NAMES.isdisjoint(words(name))
    return any(DROPPED.fullmatch(word) and word not in allowed for word in words(name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("is_asked_for", ["is", "asked", "for"]),
        ("NoTrial", ["no", "trial"]),
        ("_PATIENCE", ["patience"]),
        ("keep_alive_timeout", ["timeout"]),
    ],
)
def test_name_is_split_into_its_words(name: str, expected: list[str]) -> None:
    assert words(name) == expected


@pytest.mark.parametrize("package", ["common", "proxy", "handlers", "demo", "bench", "tests"])
def test_identifiers_contain_no_dropped_word(package: str) -> None:
    allowed = PRODUCT_WORDS.get(package, set())
    names = [(module.where(1), name) for module in modules(package) for name in module.identifiers]
    assert [each for each in names if has_dropped_word(each[1], allowed)] == []


@pytest.mark.parametrize("package", ["common", "proxy", "handlers"])
def test_published_names_contain_no_dropped_word(package: str) -> None:
    allowed = PRODUCT_WORDS.get(package, set())
    names = [
        (module.where(1), name) for module in modules(package) for name in module.published - OPTIONS - FORMER_KEYS
    ]
    assert [each for each in names if has_dropped_word(each[1], allowed)] == []


def test_keys_of_routing_yaml_contain_no_dropped_word() -> None:
    assert [key for key in all_keys() if has_dropped_word(key, set())] == []


@pytest.mark.parametrize("package", ["proxy", "handlers"])
def test_class_names_are_unique_in_a_package(package: str) -> None:
    counts = Counter(name for module in modules("common", package) for name in module.classes)
    assert {name for name, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("package", ["common", "proxy", "handlers", "demo", "bench", "tests"])
def test_docstrings_contain_no_subordinate_sentence(package: str) -> None:
    texts = [(module.where(line), text) for module in modules(package) for line, text in module.texts]
    assert [where for where, text in texts if SUBORDINATE.search(text)] == []


@pytest.mark.parametrize("package", ["common", "proxy", "handlers", "demo", "bench", "tests"])
def test_docstrings_contain_no_dialect(package: str) -> None:
    texts = [(module.where(line), text) for module in modules(package) for line, text in module.texts]
    assert [where for where, text in texts if DIALECT.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_in_plain_sentences(page: Path) -> None:
    text = CODE.sub("", page.read_text())
    assert [match[0] for pattern in (SUBORDINATE, DIALECT) for match in pattern.finditer(text)] == []


@pytest.mark.parametrize("package", ["common", "proxy", "handlers", "demo", "bench", "tests"])
def test_docstrings_of_functions_begin_with_a_verb(package: str) -> None:
    # A property is read as an attribute, so its docstring may be a noun phrase.
    functions = [(module, each) for module in modules(package) for each in module.functions if not each.is_property]
    assert [module.where(each.line) for module, each in functions if NOT_A_VERB.match(each.docstring)] == []


def test_tests_have_no_docstring() -> None:
    tests = [
        (module, each) for module in modules("tests") for each in module.functions if each.name.startswith("test_")
    ]
    described = [module.where(each.line) for module, each in tests if each.docstring]
    assert described == [], "a comment gives the reason that a name cannot"


def test_names_of_tests_have_a_subject_and_a_result() -> None:
    tests = (each.name for module in modules("tests") for each in module.functions if each.name.startswith("test_"))
    assert [name for name in tests if RIDDLE.search(name)] == []
