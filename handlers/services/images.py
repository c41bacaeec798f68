"""The image formats that a client may send, converted to URLs that the model accepts. Pure."""

import re
from collections.abc import Iterable
from typing import Final

_ADDRESS: Final = re.compile(r"https?://|data:image/", re.ASCII | re.IGNORECASE)
_LABELLED: Final = re.compile(r"base64:(image/[a-z0-9.+-]+):([^\n\r\u2028\u2029]+)", re.ASCII | re.IGNORECASE)
_BARE: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def image_urls(images: Iterable[object]) -> list[str]:
    """Return the URLs of the items that are images, in order; all other items are dropped."""
    return [url for image in images if isinstance(image, str) and (url := image_url(image)) is not None]


def image_url(image: str) -> str | None:
    """Return an http(s) or `data:image/` URL unchanged; base64, bare (taken as PNG) or labelled, as a data URL.

    The labelled form is `base64:MIME:PAYLOAD`. Return None for other schemes, other media types and other text.
    """
    if _ADDRESS.match(image):
        return image
    if labelled := _LABELLED.fullmatch(image):
        return f"data:{labelled[1]};base64,{labelled[2]}"
    return f"data:image/png;base64,{image}" if _BARE.fullmatch(image) else None
