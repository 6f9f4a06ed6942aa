"""The address for a phone: of this machine in its network, and as a code for a camera."""

from __future__ import annotations

import pytest

from omnilive.cli.address import qr_code, reachable


@pytest.mark.parametrize(
    ("listens", "opens"),
    [
        ("https://0.0.0.0:8080/", "https://10.0.0.7:8080/"),
        ("http://192.168.1.4:80/", "http://192.168.1.4:80/"),
        ("http://box.local:8080/", "http://box.local:8080/"),
    ],
)
def test_an_address_for_every_interface_becomes_one_that_can_be_opened(
    listens: str, opens: str
) -> None:
    assert reachable(listens, "10.0.0.7") == opens


def test_only_what_another_device_can_open_becomes_a_code() -> None:
    assert qr_code("http://127.0.0.1:8080/") == ""
    code, other = qr_code("http://10.0.0.7:8080/"), qr_code("http://10.0.0.8:8080/")
    lines = code.splitlines()
    # Version 2 has 25 modules a side and a margin of four around; two rows share a line.
    assert len(lines) >= 33 // 2 and code != other
