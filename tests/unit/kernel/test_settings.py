import os
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from quire.settings import Settings, load_settings

NEEDED = {
    "QUIRE_DATABASE_URL": "postgresql://user:secret@host/quire",
    "QUIRE_REDIS_URL": "redis://host",
    "QUIRE_MASTER_KEYS": "a:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Only what a service must be told."""
    for name in [name for name in os.environ if name.startswith("QUIRE_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("name", NEEDED)
def test_a_service_does_not_start_without_what_has_no_default(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)

    with pytest.raises(ValidationError, match=name.removeprefix("QUIRE_").lower()):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QUIRE_SLOTS", "0"),
        ("QUIRE_SLOTS", "many"),
        ("QUIRE_THREADS", "0"),
        ("QUIRE_FLUSH_SECONDS", "0"),
        ("QUIRE_LEASE_SECONDS", "0.5"),
        ("QUIRE_HEARTBEAT_SECONDS", "-1"),
        ("QUIRE_MAX_ATTEMPTS", "1"),
        ("QUIRE_METRICS_PORT", "65536"),
        ("QUIRE_TICK_SECONDS", "0"),
        ("QUIRE_RETENTION_DAYS", "0"),
        ("QUIRE_MAX_BODY_BYTES", "10"),
        ("QUIRE_IDEMPOTENCY_HOURS", "0"),
        ("QUIRE_MASTER_KEYS", "a:short"),
        ("QUIRE_MASTER_KEYS", ""),
        ("QUIRE_MAX_BULK_BYTES", "10"),
        ("QUIRE_MODELS", ""),
        ("QUIRE_MODELS", "no-source"),
        ("QUIRE_MODELS", "a=,b=x"),
        ("QUIRE_MODELS", "=folder"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)

    with pytest.raises(ValidationError, match=name.removeprefix("QUIRE_").lower()):
        Settings()


def test_a_process_without_a_key_ends_with_one_line_that_says_so(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("QUIRE_MASTER_KEYS")

    with pytest.raises(SystemExit, match=r"^Quire does not start:\n  QUIRE_MASTER_KEYS: Field required$"):
        load_settings()


def test_a_malformed_key_ring_is_told_of_without_its_keys(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MASTER_KEYS", "a:c2VjcmV0")

    with pytest.raises(SystemExit) as ended:
        load_settings()

    assert "QUIRE_MASTER_KEYS: Value error, expected name:base64, 32 bytes each" in str(ended.value)
    assert "c2VjcmV0" not in str(ended.value)


def test_a_heartbeat_too_slow_for_the_lease_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_LEASE_SECONDS", "2")
    environment.setenv("QUIRE_HEARTBEAT_SECONDS", "1.5")

    with pytest.raises(ValidationError, match="at most half of QUIRE_LEASE_SECONDS"):
        Settings()


def test_models_are_names_and_sources_the_first_the_default(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MODELS", " verse = checkpoints/verse , big=openai-community/gpt2,")

    settings = Settings()

    assert settings.models == {"verse": "checkpoints/verse", "big": "openai-community/gpt2"}
    assert settings.default_model == "verse"


def test_a_source_may_contain_an_equals_sign(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MODELS", "verse=folder/a=b")

    assert Settings().models == {"verse": "folder/a=b"}


def test_a_model_named_twice_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MODELS", "verse=one,verse=two")

    with pytest.raises(ValidationError, match=r"models\n.*a name stands twice"):
        Settings()


def test_a_worker_serves_the_default_model_unless_told_otherwise(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MODELS", "one=a,two=b")
    assert Settings().served_model == ("one", "a")

    environment.setenv("QUIRE_WORKER_MODEL", "two")

    assert Settings().served_model == ("two", "b")


def test_a_worker_of_an_unknown_model_says_which_there_are(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("QUIRE_MODELS", "one=a,two=b")
    environment.setenv("QUIRE_WORKER_MODEL", "three")

    with pytest.raises(ValueError, match=r"QUIRE_WORKER_MODEL=three .*one, two"):
        _ = Settings().served_model


@pytest.mark.parametrize(
    "url",
    ["postgres://host/quire", "postgresql://host/quire", "postgresql+psycopg://host/quire"],
)
def test_the_usual_spellings_of_a_database_url_name_the_driver(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("QUIRE_DATABASE_URL", url)

    assert Settings().sqlalchemy_url == "postgresql+psycopg://host/quire"


@pytest.mark.parametrize("shown", [repr, str, lambda settings: settings.model_dump_json()])
def test_secrets_do_not_show(environment: pytest.MonkeyPatch, shown: Callable[[Settings], str]) -> None:
    environment.setenv("QUIRE_ADMIN_TOKEN", "let-me-in")

    text = shown(Settings())

    assert not any(secret in text for secret in ("let-me-in", "user:secret", "a:key"))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().slots = 1
