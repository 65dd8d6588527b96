"""Any image file as the 32×32 colour image that the networks know."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from cifar_core.errors import ImageError

SIZE = 32
MAX_PIXELS = 50_000_000
"""Of a file. A small one may claim to hold more, and fill the memory when it is unpacked (a decompression bomb)."""

MAX_BYTES = 50_000_000
"""Of an image that is fetched."""
FETCH_SECONDS = 30.0

ImageSource = str | Path | bytes | BinaryIO | Image.Image | npt.NDArray[np.uint8]
"""A path or an http(s) URL, a file's bytes, an open file, an image of Pillow, or an array of H×W×3 uint8."""


def read_image(source: ImageSource) -> npt.NDArray[np.uint8]:
    """Return an image as 32×32×3 uint8, red green blue.

    An image of 32×32 in RGB comes back pixel by pixel. Any other is turned as its camera says (EXIF), laid on white
    where it is transparent, brought to 8 bits a channel, cut to the square in its middle and scaled. Of several frames
    the first is taken.

    Raises:
        ImageError: it is no image that can be read, or one larger than `MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise ImageError(f"an array must be uint8 of shape H×W×3, not {source.dtype} {source.shape}")
        source = Image.fromarray(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about odd metadata and about sizes that are checked here
            image = _opened(source)
            _check_size(image)
            image.seek(0)
            return np.asarray(_square(_in_colour(ImageOps.exif_transpose(image))), dtype=np.uint8)
    except ImageError:
        raise
    except Exception as error:  # a decoder that is given a damaged file may raise anything
        raise ImageError(f"cannot be read as an image: {_reason(error)}") from error


def _opened(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if isinstance(source, str) and "://" in source and not Path(source).exists():
        source = io.BytesIO(_fetched(source))
    # Read whole, so that no file stays open: the decoder works when the pixels are asked for.
    content = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
    return Image.open(io.BytesIO(content))


def _fetched(url: str) -> bytes:
    """Return what a server sends for a URL.

    Raises:
        ImageError: it sends nothing, something that says it is no image, or too much of it.
    """
    scheme, _, host = url.partition("://")
    if scheme.lower() not in ("http", "https") or not host:
        raise ImageError("only http:// and https:// are fetched: download it first")
    request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "cifar-sweeps"})
    ends, content = time.monotonic() + FETCH_SECONDS, bytearray()
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as answer:
            kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
            if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml"):
                raise ImageError(f"the server sends {kind}, which is no image: give the address of the image itself")
            if int(answer.headers.get("Content-Length") or 0) > MAX_BYTES:
                raise _too_many_bytes()
            while piece := answer.read(65536):
                content += piece
                if len(content) > MAX_BYTES:
                    raise _too_many_bytes()
                if time.monotonic() > ends:
                    raise TimeoutError(f"not whole after {FETCH_SECONDS:g} s")
    except urllib.error.HTTPError as error:
        raise ImageError(f"the server answers {error.code} ({error.reason}){_by_proxy(url)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ImageError(f"cannot be fetched: {reason or type(error).__name__}{_by_proxy(url)}") from None
    return bytes(content)


def _too_many_bytes() -> ImageError:
    return ImageError(f"is larger than {MAX_BYTES // 1_000_000} MB: make it smaller first")


def _by_proxy(url: str) -> str:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy is None or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return f" through the proxy {urlsplit(proxy).hostname or proxy} ({parts.scheme.upper()}_PROXY)"


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise ImageError("holds no pixel")
    if width * height > MAX_PIXELS:
        raise ImageError(f"holds {width}×{height} pixels, more than {MAX_PIXELS:,}: make it smaller first")


def _in_colour(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return grey values of 16 bits, or real ones, as 0 to 255: Pillow itself cuts off what is above 255."""
    values = np.nan_to_num(pixels.astype(np.float64))
    white = 65535.0
    if np.issubdtype(pixels.dtype, np.floating) and values.max() <= 255:
        white = 1.0 if values.max() <= 1 else 255.0
    return np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)


def _square(image: Image.Image) -> Image.Image:
    """Cut out the middle and scale it, every pixel of it counted."""
    if image.size == (SIZE, SIZE):
        return image
    return ImageOps.fit(image, (SIZE, SIZE), method=Image.Resampling.LANCZOS)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):  # before Pillow says how large it is
        return f"it holds more than {MAX_PIXELS:,} pixels: make it smaller first"
    return "its format is none that is known" if isinstance(error, UnidentifiedImageError) else str(error)
