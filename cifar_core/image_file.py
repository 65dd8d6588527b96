"""Any image file as a square RGB image of a size, the input of the networks."""

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
"""Of a file. A small file may decode to more and exhaust the memory (a decompression bomb)."""

MAX_BYTES = 50_000_000
"""Of a downloaded image."""
FETCH_SECONDS = 30.0

ImageSource = str | Path | bytes | BinaryIO | Image.Image | npt.NDArray[np.uint8]
"""A path or an http(s) URL, a file's bytes, an open file, a Pillow image, or an H×W×3 uint8 array."""


def read_image(source: ImageSource, *, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Return an image as size×size×3 uint8, red green blue.

    An RGB image of that size is returned unchanged. Any other is rotated by its EXIF orientation, composited on white
    where it is transparent, converted to 8 bits per channel, cropped to the centre square and scaled. The first of
    several frames is used.

    Raises:
        ImageError: the image cannot be read, or has more than `MAX_PIXELS` pixels.
    """
    return read_image_and_size(source, size=size)[0]


def read_image_and_size(source: ImageSource, *, size: int = SIZE) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Return an image as `read_image` does, and its own width and height. Errors are those of `read_image`."""
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise ImageError(f"an array must be uint8 of shape H×W×3, not {source.dtype} {source.shape}")
        source = Image.fromarray(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about unusual metadata and about sizes that are checked here
            image = _opened(source)
            _check_size(image)
            image.seek(0)
            upright = _in_colour(ImageOps.exif_transpose(image))
            return np.asarray(_square(upright, size=size), dtype=np.uint8), upright.size
    except ImageError:
        raise
    except Exception as error:  # a decoder may raise anything for a damaged file
        raise ImageError(f"cannot be read as an image: {_reason(error)}") from error


def _opened(source: str | Path | bytes | BinaryIO | Image.Image) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if isinstance(source, str) and "://" in source and not Path(source).exists():
        source = io.BytesIO(_fetched(source))
    # Read at once, so that no file stays open: decoding is lazy.
    content = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
    return Image.open(io.BytesIO(content))


def _fetched(url: str) -> bytes:
    """Return the content of a URL.

    Raises:
        ImageError: the URL cannot be fetched, its content type is not an image's, or it is too large.
    """
    scheme, _, host = url.partition("://")
    if scheme.lower() not in ("http", "https") or not host:
        raise ImageError("only http:// and https:// URLs are fetched: download the file first")
    request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "cifar-sweeps"})
    ends, content = time.monotonic() + FETCH_SECONDS, bytearray()
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:
            kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
            if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml"):
                raise ImageError(f"the server returned {kind}, which is not an image. Use the URL of the image itself.")
            if int(response.headers.get("Content-Length") or 0) > MAX_BYTES:
                raise _too_many_bytes()
            while piece := response.read(65536):
                content += piece
                if len(content) > MAX_BYTES:
                    raise _too_many_bytes()
                if time.monotonic() > ends:
                    raise TimeoutError(f"incomplete after {FETCH_SECONDS:g} s")
    except urllib.error.HTTPError as error:
        raise ImageError(f"the server returned {error.code} ({error.reason}){_by_proxy(url)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ImageError(f"cannot be fetched: {reason or type(error).__name__}{_by_proxy(url)}") from None
    return bytes(content)


def _too_many_bytes() -> ImageError:
    return ImageError(f"is larger than {MAX_BYTES // 1_000_000} MB: scale it down first")


def _by_proxy(url: str) -> str:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy is None or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return f" through the proxy {urlsplit(proxy).hostname or proxy} ({parts.scheme.upper()}_PROXY)"


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise ImageError("has no pixels")
    if width * height > MAX_PIXELS:
        raise ImageError(f"has {width}×{height} pixels, more than {MAX_PIXELS:,}: scale it down first")


def _in_colour(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Return grey values of 16 bits, or floats, scaled to 0 to 255; Pillow would clip values above 255."""
    values = np.nan_to_num(pixels.astype(np.float64))
    white = 65535.0
    if np.issubdtype(pixels.dtype, np.floating) and values.max() <= 255:
        white = 1.0 if values.max() <= 1 else 255.0
    return np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)


def _square(image: Image.Image, *, size: int) -> Image.Image:
    """Crop to the centre square and scale it with antialiasing."""
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):  # raised before the size can be checked here
        return f"it has more than {MAX_PIXELS:,} pixels. Scale it down first"
    return "its format is unknown" if isinstance(error, UnidentifiedImageError) else str(error)
