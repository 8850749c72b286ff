"""Where a webhook may be sent."""

import ipaddress
import socket
from typing import Any

import pytest

from quire.webhooks import targets
from quire.webhooks.targets import Refused, Target, addresses, is_public, target_of


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1"),
        *("ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"),
        *("fec0::1", "64:ff9b:1::1", "64:ff9b:1:a00:0:100::"),
        *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::"),
    ],
)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "ftp://example.com/", "https://", "https:///x", "example.com", "https://a b/"),
        *("https://ü/", "https://user@example.com/", "https://user:pw@example.com/", "https://example.com/#x"),
        *("https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1:8443/", "https://example.com:99999/"),
        *("https://example.com\\@10.0.0.1/", "https://[/", "https://example.com/" + "x" * 2000),
        *("https://169.254.169.254/latest", "https://example.com/\n"),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        target_of(url, allow_private=False)


def test_a_url_is_taken_apart() -> None:
    assert target_of("https://example.com/a/b?c=d", allow_private=False) == Target(
        True, "example.com", 443, "/a/b?c=d"
    )
    assert target_of("http://10.0.0.1:81", allow_private=True) == Target(False, "10.0.0.1", 81, "/")


def resolving(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]

    monkeypatch.setattr(targets.socket, "getaddrinfo", resolve)


def test_a_name_with_any_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_of("https://example.com/", allow_private=False)
    resolving(monkeypatch, "1.1.1.1", "10.0.0.1")

    with pytest.raises(Refused, match="private"):
        addresses(target, allow_private=False)
    assert addresses(target, allow_private=True) == ["1.1.1.1", "10.0.0.1"]


def test_a_name_with_public_addresses_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "1.1.1.1", "2606:4700::1111", "1.1.1.1")

    target = target_of("https://example.com/", allow_private=False)

    assert addresses(target, allow_private=False) == ["1.1.1.1", "2606:4700::1111"]
