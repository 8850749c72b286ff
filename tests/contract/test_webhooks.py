"""/v1/webhooks: endpoints and their secrets, what was sent, and the client of this repository."""

from typing import Any

import httpx
import pytest
from flask import Flask

from api.app import create_app
from quire.testing import FakePublisher, Place
from quire_client import Quire
from quire_client.cli.main import Outside, main
from tests.contract.client import Api, fields, problem, shown
from tests.contract.conftest import Hub

URL = "https://hooks.example/quire"


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    return shown(answer)


def test_the_secret_is_shown_once(api: Api) -> None:
    endpoint = made(api, events=["batch.*"], description="the shop")

    assert endpoint.pop("secret").startswith("whsec_")
    assert shown(api.get(f"/v1/webhooks/{endpoint['id']}")) == endpoint
    assert shown(api.get("/v1/webhooks"))["data"] == [endpoint]


def test_a_rotation_shows_another_secret(api: Api) -> None:
    endpoint = made(api)

    rotated = shown(api.post(f"/v1/webhooks/{endpoint['id']}/rotate", json={}))

    assert rotated["id"] == endpoint["id"]
    assert rotated["secret"] != endpoint["secret"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://hooks.example/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["batch.done"]}, "events.0"),
        ({"url": URL, "secret": "whsec_x"}, "secret"),
    ],
)
def test_what_is_no_endpoint_is_refused(shared: Any, body: dict[str, Any], field: str) -> None:
    answer = shared.api.post("/v1/webhooks", json=body)

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


def test_an_endpoint_is_changed_switched_off_and_on(api: Api) -> None:
    path = f"/v1/webhooks/{made(api)['id']}"

    off = shown(api.request("PATCH", path, json={"enabled": False, "events": ["job.failed"]}))
    assert (off["enabled"], off["events"], off["url"]) == (False, ["job.failed"], URL)
    on = shown(api.request("PATCH", path, json={"enabled": True}))
    assert (on["enabled"], on["disabled_why"]) == (True, None)
    problem(api.request("PATCH", path, json={"url": "https://10.0.0.1/"}), 400, "invalid_field")


def test_a_test_event_is_listed_and_sent_again(api: Api) -> None:
    path = f"/v1/webhooks/{made(api, events=['batch.*'])['id']}"
    sent = shown(api.post(f"{path}/test"))
    assert (sent["type"], sent["state"], sent["attempts"]) == ("webhook.test", "pending", [])

    again = shown(api.post(f"{path}/deliveries/{sent['id']}/redeliver"))

    assert (again["id"], again["event_id"]) == (sent["id"], sent["event_id"])
    assert [each["id"] for each in shown(api.get(f"{path}/deliveries"))["data"]] == [sent["id"]]


def test_an_endpoint_of_another_tenant_is_not_there(api: Api, stranger: Api) -> None:
    theirs = made(stranger)["id"]
    sent = shown(stranger.post(f"/v1/webhooks/{theirs}/test"))["id"]

    for method, rest in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test"), ("GET", "/deliveries"),
        ("POST", f"/deliveries/{sent}/redeliver"),
    ):  # fmt: skip
        json = {} if method == "PATCH" or rest == "/rotate" else None
        problem(api.request(method, f"/v1/webhooks/{theirs}{rest}", json=json), 404)
    mine = made(api)["id"]
    problem(api.post(f"/v1/webhooks/{mine}/deliveries/{sent}/redeliver"), 404)


def test_a_deleted_endpoint_is_gone(api: Api) -> None:
    path = f"/v1/webhooks/{made(api)['id']}"
    api.post(f"{path}/test")

    assert api.delete(path).status_code == 204

    problem(api.get(path), 404)


def test_there_may_be_so_many_and_no_more(settings: Any, place: Place, api: Api) -> None:
    few = settings.model_copy(update={"max_webhooks": 2})
    app = create_app(few, database=place.database, publisher=FakePublisher(), notices=Hub())
    mine = Api(app, api.secret)
    made(mine)
    made(mine)

    problem(mine.post("/v1/webhooks", json={"url": URL}), 429, "quota_exceeded")
    app.extensions["quire"].waiting.close()


def test_the_client_and_the_command_line_speak_of_webhooks(
    app: Flask, api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.WSGITransport(app=app)
    with Quire("http://quire.test", api_key=api.secret, transport=transport) as quire:
        webhook = quire.webhooks.create(URL, events=["batch.*"])
        assert webhook.secret is not None
        delivery = quire.webhooks.test(webhook.id)
        assert [each.id for each in quire.webhooks.deliveries(webhook.id)] == [delivery.id]
        assert quire.webhooks.redeliver(webhook.id, delivery.id).state == "pending"
        assert not quire.webhooks.change(webhook.id, enabled=False).enabled
        assert quire.webhooks.rotate(webhook.id, overlap_hours=1).secret != webhook.secret
    monkeypatch.setenv("QUIRE_API_KEY", api.secret)

    def run(*words: str) -> str:
        assert main([*words, "--url", "http://quire.test"], Outside(httpx.WSGITransport(app=app))) == 0
        return capsys.readouterr().out

    assert webhook.id in run("webhook", "list")
    assert "disabled" in run("webhook", "show", webhook.id)
    assert "enabled" in run("webhook", "set", webhook.id, "--enable", "--event", "job.*")
    assert run("webhook", "create", URL).startswith("whsec_")
    assert run("webhook", "rotate", webhook.id).startswith("whsec_")
    assert run("webhook", "test", webhook.id).startswith("dlv_")
    assert "webhook.test" in run("webhook", "deliveries", webhook.id)
    assert run("webhook", "redeliver", webhook.id, delivery.id).strip() == "pending"
    run("webhook", "delete", webhook.id)
