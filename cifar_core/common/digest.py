"""Hashes of values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Mapping[str, Any]) -> str:
    """Return the hash of JSON values, independent of the order of keys: 16 hexadecimal digits."""
    canonical_json = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]
