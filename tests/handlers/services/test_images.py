"""Texts that count as images, and their media types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.services.images import image_url, image_urls


def test_recorded_image_list_is_reproduced() -> None:
    given_images: list[object] = [
        "https://x.example/a.png",
        "data:image/jpeg;base64,AAAA",
        "data:text/html,hi",
        "iVBORw0KGgo=",
        "base64:image/gif:R0lGOD",
        "base64:text/plain:AAAA",
        "",
        5,
        None,
        "not an image!",
        "HTTP://UP.example/b",
    ]
    assert image_urls(given_images) == [
        "https://x.example/a.png",
        "data:image/jpeg;base64,AAAA",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/gif;base64,R0lGOD",
        "HTTP://UP.example/b",
    ]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://x", "http://x"),
        ("https://", "https://"),
        ("data:IMAGE/svg+xml,<svg/>", "data:IMAGE/svg+xml,<svg/>"),
        ("DATA:image/png;base64,AAAA", None),
        ("data:", None),
        ("data:image", None),
        ("BASE64:image/SVG+xml:a:b", "data:image/SVG+xml;base64,a:b"),
        ("base64::AAAA", "data:image/png;base64,AAAA"),
        ("base64::", "data:image/png;base64,"),
        ("base64:image/png:", "data:image/png;base64,"),
        ("base64:image/png:AA\nAA", "data:image/png;base64,AA\nAA"),
        ("base64:image/:AAAA", "data:image/;base64,AAAA"),
        ("base64:imagepng:AAAA", None),
        ("base64:i\u212ange/png:AAAA", None),
        ("base64:", "data:image/png;base64,base64:"),
        ("base64:AAAA", "data:image/png;base64,base64:AAAA"),
        ("base64:two words", "data:image/png;base64,base64:two words"),
        ("base64", "data:image/png;base64,base64"),
        ("A", "data:image/png;base64,A"),
        ("AA==", "data:image/png;base64,AA=="),
        ("a+/9", "data:image/png;base64,a+/9"),
        ("A===", None),
        ("a-_9", None),
        ("two words", None),
        (" http://x", None),
        ("ftp://x", None),
        ("AAAA\n", None),
        ("é", None),
    ],
)
def test_text_becomes_an_image_url_or_none(text: str, url: str | None) -> None:
    assert image_url(text) == url


@given(st.text(alphabet="httpsda:/image;base64,AZ+=! \n\u017f"))
def test_image_url_has_an_accepted_scheme(text: str) -> None:
    url = image_url(text)
    assert url is None or url.lower().startswith(("http://", "https://", "data:image/"))
