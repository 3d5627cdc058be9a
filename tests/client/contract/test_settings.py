"""What service and workers accept as settings, and what they say of those that cannot work."""

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from redis.connection import parse_url
from zooaudit.contract.settings import (
    Location,
    RedisUrl,
    faults_of,
    location,
    redis_url,
    unknown_settings,
    unreadable,
    unwritable,
)


class Settings(BaseModel):
    redis_url: RedisUrl
    store: Location


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://redis",
        "redis://user:p%40ss%2Fword@redis.example:6380/15",
        "redis://:100%25@[::1]:6379",
        "rediss://redis.example:6380/0?ssl_cert_reqs=required&socket_timeout=5",
        "unix:///run/redis.sock?db=2",
        " redis://redis:6379/1/ ",
    ],
)
def test_urls_that_redis_understands_are_accepted(url):
    accepted = redis_url(SecretStr(url)).get_secret_value()
    assert accepted == url.strip()
    assert parse_url(accepted)


@pytest.mark.parametrize(
    "url",
    [
        *("http://:hidden@redis:6379", "redis:6379", "hidden", "REDIS://:hidden@redis", "redis+tls://:hidden@redis"),
        *("redis://:hidden@redis:port/0", "redis://:hidden@redis:70000/0", "redis://:hidden@redis:0"),
        *("redis://:hidden@redis/first", "redis://:hidden@redis/0/1", "redis://:hidden@redis/-1"),
        *("redis://:hid/den@redis:6379/0", "redis://:hid#den@redis:6379/0", "redis://:12/hidden@redis:6379/0"),
        *("redis://:hidden%ff@redis/0", "redis://[::1", "unix://"),
        *("redis://:hidden@redis?ssl=true", "redis://:hidden@redis?ssl_cert_reqs=none", "redis://redis?db=hidden"),
        "redis://redis?hidden=1",
    ],
)
def test_a_redis_url_that_cannot_work_is_refused_without_repeating_it(url):
    with pytest.raises(ValidationError) as raised:
        Settings(redis_url=url, store="store")
    (line,) = faults_of(raised.value)
    assert line.startswith("ZOOAUDIT_REDIS_URL: ")
    assert "hid" not in line
    assert "\n" not in line


def test_a_place_is_a_folder_or_a_bucket(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert location("~/store") == "/home/somebody/store"
    assert location("var/store") == "var/store"
    assert location("file:///data/my%20reports") == "/data/my reports"
    assert location(" s3://bucket/a/prefix") == "s3://bucket/a/prefix"


@pytest.mark.parametrize(
    "place",
    ["s3://", "s3:///prefix", "s3://key:hidden@bucket", "gopher://host", "file://host/path", "~nobody-of-this-name/x"],
)
def test_other_places_are_refused(place):
    with pytest.raises(ValidationError) as raised:
        Settings(redis_url="redis://redis", store=place)
    (line,) = faults_of(raised.value)
    assert line.startswith("ZOOAUDIT_STORE: ")
    assert "hidden" not in line


def test_folders_that_can_be_used(tmp_path):
    assert unreadable(tmp_path) is None
    assert unwritable(tmp_path / "new" / "folder") is None
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_folders_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert unreadable(file) == f"{file} is not a folder"
    assert unreadable(tmp_path / "absent") == f"there is no folder {tmp_path / 'absent'}"
    for folder in (file, file / "below"):
        assert unwritable(folder) == f"{folder} cannot be a folder: a file is in its place"
    # A file system in which nobody, not even root, can make a folder.
    assert unwritable("/proc/zooaudit").startswith("nothing can be written in /proc/zooaudit: ")


def test_a_variable_that_is_no_setting_is_named_with_the_closest_one():
    environ = {"ZOOAUDIT_DATASET": "hidden", "ZOOAUDIT_XYZZY": "hidden", "ZOOAUDIT_STORE": "x", "ZOOAUDIT_URL": "x"}
    assert list(unknown_settings(environ)) == [
        "ZOOAUDIT_DATASET: there is no such setting; did you mean ZOOAUDIT_DATASETS?",
        "ZOOAUDIT_XYZZY: there is no such setting",
    ]
