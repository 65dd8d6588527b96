"""Where what a sweep must not lose is kept: a folder, a bucket, a database. No secret stands in any name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.storage.address import check_storage, check_study_storage, is_bucket
    from sweeps.storage.bucket import Bucket, bucket_of, read_log, without_secrets
    from sweeps.storage.place import LOCAL, Place, asked_place, with_password

__all__ = [
    "LOCAL",
    "Bucket",
    "Place",
    "asked_place",
    "bucket_of",
    "check_storage",
    "check_study_storage",
    "is_bucket",
    "read_log",
    "with_password",
    "without_secrets",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Bucket": "bucket",
        "LOCAL": "place",
        "Place": "place",
        "asked_place": "place",
        "bucket_of": "bucket",
        "check_storage": "address",
        "check_study_storage": "address",
        "is_bucket": "address",
        "read_log": "bucket",
        "with_password": "place",
        "without_secrets": "bucket",
    },
)
