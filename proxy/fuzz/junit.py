"""The result of a run as JUnit XML: a test case for each operation, which fails by its endpoint's differences. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from proxy.fuzz.search import Finding
from proxy.inference.checking import CoverageRow

_UNPRINTABLE: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(rows: Sequence[CoverageRow], findings: Sequence[Finding], seconds: float) -> bytes:
    """Return the XML; differences outside any operation have test cases of their own."""
    operations = list(dict.fromkeys(row.operation.name for row in rows))
    failures = _by_endpoint(findings)
    names = [*operations, *(name for name in failures if name not in operations)]
    suite = Element("testsuite", name="scribe-proxy fuzz", tests=str(len(names)), time=f"{seconds:.1f}")
    suite.set("failures", str(sum(name in failures for name in names)))
    for name in names:
        case = SubElement(suite, "testcase", classname="fuzz", name=name)
        for message, detail in failures.get(name, []):
            SubElement(case, "failure", message=message).text = detail
    text: bytes = tostring(suite, encoding="utf-8", xml_declaration=True)
    return text


def _by_endpoint(findings: Sequence[Finding]) -> dict[str, list[tuple[str, str]]]:
    failures: dict[str, list[tuple[str, str]]] = {}
    for finding in findings:
        for kind in sorted(finding.kinds):
            failures.setdefault(kind.endpoint, []).append((str(kind), _printable(finding.execution.describe())))
    return failures


def _printable(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", text)
