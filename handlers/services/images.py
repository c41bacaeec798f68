"""The image formats that a client may send, converted to URLs that the model accepts. Pure."""

import re
from collections.abc import Iterable
from typing import Final

_WEB: Final = re.compile(r"https?://", re.ASCII | re.IGNORECASE)
_IMAGE: Final = re.compile(r"image/", re.ASCII | re.IGNORECASE)
_DATA: Final = "data:"
_LABEL: Final = "base64:"
_BARE: Final = re.compile(r"[A-Za-z0-9+/]++={0,2}")
_PNG: Final = "image/png"


def image_urls(images: Iterable[object]) -> list[str]:
    """Return the URLs of the items that are images, in order; all other items are dropped."""
    return [url for image in images if isinstance(image, str) and (url := image_url(image)) is not None]


def image_url(image: str) -> str | None:
    """Return an http(s) or `data:image/` URL unchanged; return base64, bare (read as PNG) or labelled, as a data URL.

    The labelled form is `base64:MIME:PAYLOAD`, a PNG if MIME is empty. As in the legacy, `data:` is lower case, and
    a labelled form of fewer than three parts becomes a PNG with the whole text as its payload. Return None for other
    schemes, other media types and other text.
    """
    if _WEB.match(image):
        return image
    if image.startswith(_DATA):
        return image if _IMAGE.match(image, len(_DATA)) else None
    if image[: len(_LABEL)].lower() == _LABEL:
        return _labelled(image)
    return _data_url(_PNG, image) if _BARE.fullmatch(image) else None


def _labelled(image: str) -> str | None:
    _, mime, *payload = image.split(":", 2)
    if not payload:
        return _data_url(_PNG, image)
    return _data_url(mime or _PNG, payload[0]) if not mime or _IMAGE.match(mime) else None


def _data_url(mime: str, payload: str) -> str:
    return f"data:{mime};base64,{payload}"
