"""Signatures, verified with the standard's own library."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from quire.webhooks import signing
from quire.webhooks.events import subscribed

BODY = json.dumps({"type": "batch.completed", "data": {"id": "batch_1"}}).encode()


def test_a_signature_verifies_with_its_secret_alone() -> None:
    secret, other = signing.new_secret(), signing.new_secret()

    headers = signing.headers([secret], "evt_1", datetime.now(UTC), BODY)

    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    for wrong, body in ((other, BODY), (secret, BODY + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong).verify(body, headers)


def test_during_a_rotation_either_secret_verifies() -> None:
    new, old = signing.new_secret(), signing.new_secret()

    headers = signing.headers([new, old], "evt_1", datetime.now(UTC), BODY)

    for secret in (new, old):
        assert Webhook(secret).verify(BODY, headers)


def test_an_old_message_is_refused_by_its_time() -> None:
    secret = signing.new_secret()
    headers = signing.headers([secret], "evt_1", datetime.now(UTC) - timedelta(hours=1), BODY)

    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize(
    ("names", "event", "covered"),
    [
        (["*"], "batch.completed", True),
        (["batch.*"], "batch.completed", True),
        (["batch.completed", "job.failed"], "job.failed", True),
        (["job.*"], "batch.completed", False),
        (["batch.completed"], "batch.cancelled", False),
        (["*"], "webhook.test", True),
    ],
)
def test_subscriptions(names: list[str], event: str, covered: bool) -> None:
    assert subscribed(names, event) == covered
