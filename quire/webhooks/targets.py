"""Where a webhook may be sent: by its URL when it is set up, by the address it resolves to whenever it is called.

Only the second check protects: a name may resolve to anything, and to something else a moment later.
"""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

LONGEST = 2_000  # characters of a URL
NAT64 = ipaddress.ip_network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # which address of the network it carries is its own affair

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """A target that may not be called; its text says why."""


@dataclass(frozen=True)
class Target:
    """A URL, taken apart."""

    secure: bool
    host: str
    port: int
    path: str  # with its query


def target_of(url: str, *, allow_private: bool) -> Target:
    """Take a URL apart and check what can be known without asking anybody.

    Raises:
        Refused: it is no URL of a webhook.

    """
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Refused(f"should be at most {LONGEST:,} characters of printable ASCII without blanks")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("is no URL") from error
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        raise Refused("should begin with https://")
    if not parts.hostname:
        raise Refused("names no host")
    if parts.username is not None or parts.password is not None:
        raise Refused("should hold no user or password")
    if parts.fragment:
        raise Refused("should hold no fragment")
    secure = parts.scheme == "https"
    address = _literal(parts.hostname)
    if address is not None and not allow_private and not is_public(address):
        raise Refused("names a private address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, parts.hostname, port or (443 if secure else 80), path)


def addresses(target: Target, *, allow_private: bool) -> list[str]:
    """Resolve a target; returns the addresses that may be connected to, in the resolver's order.

    Raises:
        Refused: it has no address, or one that is not public.

    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused("its host does not resolve") from error
    resolved = list(dict.fromkeys(str(each[4][0]) for each in found))
    if not allow_private and not all(is_public(ipaddress.ip_address(each)) for each in resolved):
        raise Refused("its host resolves to a private address")
    return resolved


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, also where it carries another one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_site_local or address in LOCAL_NAT64:
            return False
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in NAT64:
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(each) for each in carried if each is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
