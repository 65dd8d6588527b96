"""Files in a bucket: of a real S3 server (moto's) and of what fsspec opens."""

from __future__ import annotations

import pickle
import secrets
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_store import S3

from sweeps.core.errors import StoreError
from sweeps.store.bucket import Bucket, redact_secrets

NAMES = st.sampled_from(["a", "b", "c/a", "c/b", "c/d/e"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.binary(max_size=20)),
        st.tuples(st.just("delete"), st.sampled_from(["a", "b", "c", "c/a", "c/d", "x"]), st.just(b"")),
        st.tuples(st.just("copy"), NAMES, st.just(b"")),
    ),
    max_size=12,
)


@pytest.fixture(params=["s3", "fsspec"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    if request.param == "fsspec":
        return Bucket(f"local://{tmp_path}/store")
    return Bucket(request.getfixturevalue("s3").new_bucket() + "/pre/fix")


def test_written_files_are_read_and_listed(bucket: Bucket) -> None:
    bucket.write("one/state.pt", b"old")
    bucket.write("one/state.pt", b"new")
    bucket.write("two/log", b"")

    assert bucket.read("one/state.pt") == b"new"
    assert bucket.read("two/log") == b""
    assert bucket.read("three") is None
    assert bucket.names("one") == ["one/state.pt"]
    assert bucket.names("three") == []


def test_a_file_larger_than_one_part_of_an_upload_is_written(bucket: Bucket) -> None:
    content = secrets.token_bytes(12_000_000)

    bucket.write("large", content)

    assert bucket.read("large") == content


def test_a_copy_stays_when_the_original_changes(bucket: Bucket) -> None:
    bucket.write("one/now", b"1")
    bucket.copy("one/now", "one/before")
    bucket.write("one/now", b"2")
    bucket.copy("one/nothing", "one/else")
    bucket.delete("one/now")
    bucket.delete("one/now")

    assert bucket.read("one/before") == b"1"
    assert bucket.names("one") == ["one/before"]
    bucket.delete("one")
    assert bucket.names("one") == []


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_it_behaves_like_a_dictionary(changes: list[tuple[str, str, bytes]]) -> None:
    bucket = Bucket(f"memory://{secrets.token_hex(8)}/x")
    held: dict[str, bytes] = {}

    for what, name, content in changes:
        if what == "write":
            bucket.write(name, content)
            held[name] = content
        elif what == "delete":
            bucket.delete(name)
            held = {key: value for key, value in held.items() if key != name and not key.startswith(f"{name}/")}
        else:
            bucket.copy(name, "copied")
            held |= {"copied": held[name]} if name in held else {}

    assert {name: bucket.read(name) for name in bucket.names("")} == held


def test_it_goes_to_another_process_without_its_connection(bucket: Bucket) -> None:
    bucket.write("x", b"1")

    assert pickle.loads(pickle.dumps(bucket)).read("x") == b"1"


def test_the_address_of_a_file_keeps_the_options_of_its_bucket() -> None:
    assert Bucket("s3://b/p?region=eu-1").url("x/y") == "s3://b/p/x/y?region=eu-1"


class TestErrors:
    def test_a_bucket_that_is_not_there_is_named_with_what_to_do(self, s3: S3) -> None:
        with pytest.raises(StoreError, match=r"s3://no-such-bucket/x does not exist\. Create the bucket"):
            Bucket("s3://no-such-bucket/x").check()

    def test_a_store_that_does_not_answer_is_named_within_30_seconds(
        self, s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        began = time.monotonic()

        with pytest.raises(StoreError, match=r"s3://b/x does not answer\. Check its address"):
            Bucket("s3://b/x").check()

        assert time.monotonic() - began < 30

    def test_a_missing_package_is_named(self) -> None:
        with pytest.raises(StoreError, match=r"sftp://h/x needs a package that is not installed: .*paramiko"):
            Bucket("sftp://h/x").check()

    def test_no_secret_of_the_environment_is_in_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")

        assert redact_secrets("the key hush-hush is wrong") == "the key *** is wrong"
