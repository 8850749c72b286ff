"""Webhooks: endpoints that are told when jobs and batches end."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from quire_client.connection import Connection, Params, read
from quire_client.fields import plain
from quire_client.shape import Json
from quire_client.values import Page
from quire_client.webhook import Delivery, Webhook

Item = TypeVar("Item")


class Webhooks:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, url: str, *, events: Sequence[str] | None = None, description: str | None = None) -> Webhook:
        """Set an endpoint up; its `secret` is told this once. `events`: names, as `batch.*`; all if not told."""
        body = plain({"url": url, "events": events, "description": description})
        # Without an Idempotency-Key a second arrival would make a second endpoint.
        return read(self._connection.send("POST", "webhooks", body=body, repeatable=False), Webhook.parse)

    def get(self, webhook_id: str) -> Webhook:
        return read(self._connection.send("GET", "webhooks", webhook_id), Webhook.parse)

    def list(self) -> Iterator[Webhook]:
        """Yield every endpoint, newest first."""
        return self._pages(("webhooks",), Webhook.parse)

    def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is named; one that is enabled again gets what has piled up."""
        body = plain({"url": url, "events": events, "description": description, "enabled": enabled})
        return read(self._connection.send("PATCH", "webhooks", webhook_id, body=body), Webhook.parse)

    def delete(self, webhook_id: str) -> None:
        self._connection.send("DELETE", "webhooks", webhook_id)

    def rotate(self, webhook_id: str, *, overlap_hours: int | None = None) -> Webhook:
        """Give an endpoint a new `secret`; the one before signs as well for `overlap_hours`, 24 if not told."""
        body = plain({"overlap_hours": overlap_hours})
        response = self._connection.send("POST", "webhooks", webhook_id, "rotate", body=body, repeatable=False)
        return read(response, Webhook.parse)

    def test(self, webhook_id: str) -> Delivery:
        """Have a test event sent."""
        return read(
            self._connection.send("POST", "webhooks", webhook_id, "test", repeatable=False), Delivery.parse
        )

    def deliveries(self, webhook_id: str) -> Iterator[Delivery]:
        """Yield what was sent to an endpoint, newest first, with each attempt."""
        return self._pages(("webhooks", webhook_id, "deliveries"), Delivery.parse)

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Have it sent again, now."""
        path = ("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
        return read(self._connection.send("POST", *path), Delivery.parse)

    def _pages(self, path: tuple[str, ...], parse: Callable[[Json], Item]) -> Iterator[Item]:
        cursor = None
        while True:
            params: Params = {"after": cursor}
            page = read(self._connection.send("GET", *path, params=params), lambda data: Page.parse(data, parse))
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return
