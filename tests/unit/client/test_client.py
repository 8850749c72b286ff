"""Where the client finds its server and its credentials."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quire_client import ConfigurationError, Quire, __version__

Make = Callable[..., Any]


def test_the_environment_names_server_and_credentials(
    monkeypatch: pytest.MonkeyPatch, script: Make, job: Make
) -> None:
    monkeypatch.setenv("QUIRE_URL", "https://quire.example/base/")
    monkeypatch.setenv("QUIRE_API_KEY", "qk_environment\n")
    server = script(httpx.Response(200, json=job()))

    with Quire(transport=httpx.MockTransport(server)) as quire:
        quire.jobs.get("job_1")

    assert str(server.requests[0].url) == "https://quire.example/base/v1/jobs/job_1"
    assert server.requests[0].headers["Authorization"] == "Bearer qk_environment"


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch, script: Make, job: Make) -> None:
    monkeypatch.setenv("QUIRE_URL", "https://quire.example")
    monkeypatch.setenv("QUIRE_API_KEY", "qk_environment")
    server = script(httpx.Response(200, json=job()))

    with Quire("http://other.test", "qk_argument", transport=httpx.MockTransport(server)) as quire:
        quire.jobs.get("job_1")

    assert server.requests[0].url.host == "other.test"
    assert server.requests[0].headers["Authorization"] == "Bearer qk_argument"


def test_without_an_address_it_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_URL", "")

    with Quire() as quire:
        assert quire.url == "http://127.0.0.1:8000"


def test_requests_say_who_asks(connect: Make, script: Make, job: Make) -> None:
    server = script(httpx.Response(200, json=job()))

    connect(server).jobs.get("job_1")

    assert server.requests[0].headers["User-Agent"] == f"quire-client/{__version__}"


@pytest.mark.parametrize(
    "given",
    [{"url": "quire.example"}, {"url": "ftp://quire.example"}, {"api_key": "two words"}, {"api_key": "schlüssel"}],
)
def test_what_cannot_be_right_is_refused_at_once(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Quire(**given)


def test_a_credential_does_not_show_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_API_KEY", "hidden word")

    with pytest.raises(ConfigurationError) as caught:
        Quire()
    assert "hidden" not in str(caught.value)
