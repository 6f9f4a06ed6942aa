"""What keeps others out: tokens, origins, URLs to pull from, rates."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilive.errors import ConfigError
from omnilive.service.access import is_loopback, origin_allowed, read_token, token_matches
from omnilive.service.config import ClientConfig, ServiceConfig
from omnilive.service.faults import ProtocolError
from omnilive.service.pull_guard import check_pull
from omnilive.service.rate import RateLimit

TOKEN = "a-token-of-some-length"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "camera.local", ""])
def test_off_loopback_the_service_refuses_to_start_without_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="insecure"):
        read_token(ServiceConfig(host=host))
    assert read_token(ServiceConfig(host=host, insecure=True)) == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert is_loopback(host)
    assert read_token(ServiceConfig(host=host)) == ""


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 20, "ü".encode() * 20])
def test_a_file_without_a_usable_token_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        read_token(ServiceConfig(token_file=str(file)))


def test_the_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN} \nanything else\n")
    assert read_token(ServiceConfig(host="0.0.0.0", token_file=str(file))) == TOKEN


@given(st.text(max_size=40))
def test_only_the_token_itself_matches(shown: str) -> None:
    assert token_matches(TOKEN, shown) == (shown == TOKEN)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://edge.local:8080", True),
        ("https://edge.local:8080", True),
        ("https://friend.example", True),
        ("http://edge.local", False),
        ("http://evil.example", False),
        ("http://edge.local:8080.evil.example", False),
        ("file://edge.local:8080", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_other_origins_may_not_connect(origin: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, "edge.local:8080", "https://friend.example") is allowed


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "concat:a|b",
        "http://",
        "http://user:secret@camera.local/",
        "http://camera.local /x",
        "http://camera.local/\n",
        "http://[::1/",
        "http://camera.local:99999/",
        "camera.local/stream",
    ],
)
def test_urls_that_are_no_plain_network_sources_are_refused(url: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_pull(url, ClientConfig(pull_hosts="*"), on_loopback=True)
    assert caught.value.code == "forbidden"


def test_off_loopback_only_named_hosts_are_pulled_from() -> None:
    named = ClientConfig(pull_hosts="camera.local 10.0.0.7")
    check_pull("rtsp://camera.local:554/one", named, on_loopback=False)
    for config, url in [
        (named, "http://127.0.0.1/admin"),
        (named, "http://169.254.169.254/latest"),
        (ClientConfig(), "rtmp://camera.local/live"),
    ]:
        with pytest.raises(ProtocolError):
            check_pull(url, config, on_loopback=False)
    check_pull("rtmp://camera.local/live", ClientConfig(), on_loopback=True)


@given(st.lists(st.floats(0, 5), max_size=80), st.integers(1, 20), st.floats(0.5, 20))
def test_no_client_gets_more_than_its_rate_and_burst(
    gaps: list[float], burst: int, per_s: float
) -> None:
    limit, now, taken = RateLimit(per_s, burst, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        taken += limit.take(now)
        assert taken <= burst + now * per_s + 1e-6
    if gaps and all(gap * per_s >= 1 + 1e-9 for gap in gaps):
        assert taken == len(gaps)
