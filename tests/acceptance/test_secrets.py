"""What must stand nowhere: secrets, prompts and texts in logs; prompts and texts in Redis."""

import base64
import binascii
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from redis import Redis, RedisError

from quire import embedded, testing
from quire.crypto import new_master_key
from quire_client import Quire
from tests.processes import Services, environment, services
from tests.waiting import until

pytestmark = pytest.mark.acceptance

PROMPT = "Xanthippe sang of Ozymandias"
THEME = "the lighthouse of Heligoland"


class Scene:
    """A whole system at the loudest log level, and everything that nobody else may read."""

    def __init__(self, running: Services, variables: dict[str, str], servers: dict[str, embedded.Server]) -> None:
        self.services, self.variables, self.servers = running, variables, servers
        with Quire(running.url, admin_token=variables["QUIRE_ADMIN_TOKEN"]) as operator:
            tenant = operator.tenants.create("press")
            self.key = str(operator.keys.create(tenant.id).secret)
        self.bad_key = f"{self.key[:16]}{'w' * 43}"

    def secrets(self) -> dict[str, str]:
        master = self.variables["QUIRE_MASTER_KEYS"].partition(":")[2]
        return {
            "master key": master,
            "admin token": self.variables["QUIRE_ADMIN_TOKEN"],
            "API key": self.key[16:],
            "bad API key": self.bad_key[16:],
            "password of Postgres": str(urlsplit(self.variables["QUIRE_DATABASE_URL"]).password),
            "password of Redis": str(urlsplit(self.variables["QUIRE_REDIS_URL"]).password),
            "prompt": PROMPT,
            "theme": THEME,
        }

    def request(self, method: str, path: str, key: str, **rest: object) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        with suppress(httpx.TransportError):
            return httpx.request(method, self.services.url + path, headers=headers, timeout=30, **rest).status_code
        return 0


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all: the last test takes its servers away."""
    tmp_path = tmp_path_factory.mktemp("scene")
    servers = {
        "postgres": embedded.postgres(tmp_path / "postgres", durable=False),
        "redis": embedded.valkey(tmp_path / "redis", durable=False),
    }
    with servers["postgres"] as postgres, servers["redis"] as redis:
        testing.migrate(postgres.url)
        variables = environment(
            postgres.url, redis.url,
            QUIRE_MASTER_KEYS=new_master_key("one"), QUIRE_ADMIN_TOKEN=secrets.token_urlsafe(32),
            QUIRE_LOG_LEVEL="DEBUG", QUIRE_DRAIN_SECONDS="1",
        )  # fmt: skip
        logs = tmp_path / "logs"
        logs.mkdir()
        with services(variables, logs) as running:
            until(lambda: has_worker(postgres.url), seconds=240)
            yield Scene(running, variables, servers)


def has_worker(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT FROM workers").rowcount > 0


class Wire:
    """Every command that Redis is sent, as MONITOR tells them."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self.commands: list[str] = []
        self._listening = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._listening.wait(10)

    def _listen(self) -> None:
        with suppress(RedisError, OSError, ValueError), self._redis.monitor() as monitor:
            self._listening.set()
            for command in monitor.listen():
                self.commands.append(command["command"])

    def text(self) -> str:
        return unfolded("\n".join(self.commands))


def unfolded(text: str) -> str:
    """The text, and what its parts say in base64, in which Celery wraps a message's body."""
    parts = [text]
    for part in re.findall(r"[A-Za-z0-9+/_-]{16,}={0,2}", text):
        with suppress(binascii.Error, ValueError):
            parts.append(base64.b64decode(part, validate=True).decode(errors="replace"))
    return "\n".join(parts)


def dump(url: str) -> str:
    """Every key of Redis with all it holds."""
    readers = {
        "string": "get", "list": ("lrange", 0, -1), "hash": "hgetall", "set": "smembers",
        "zset": ("zrange", 0, -1), "stream": "xrange",
    }  # fmt: skip
    lines = []
    with Redis.from_url(url, decode_responses=True) as redis:
        for key in redis.scan_iter():
            reader = readers[redis.type(key)]
            name, *rest = (reader,) if isinstance(reader, str) else reader
            lines.append(f"{key} {getattr(redis, name)(key, *rest)}")
    return unfolded("\n".join(lines))


def test_redis_carries_neither_prompt_nor_text(scene: Scene) -> None:
    url = scene.variables["QUIRE_REDIS_URL"]
    wire = Wire(url)
    with Quire(scene.services.url, api_key=scene.key) as client:
        jobs = [client.jobs.submit(PROMPT, seed=seed, max_tokens=24, min_tokens=24) for seed in range(6)]
        jobs += [client.jobs.submit(form="poem", theme=THEME, max_tokens=24, min_tokens=24)]
        done = [client.jobs.wait(job.id, timeout=120) for job in jobs]
    texts = {f"text {job.id}": job.text.strip()[:20] for job in done}
    until(lambda: any(job.id.removeprefix("job_") in wire.text() for job in done))

    # what a token and a notice must look like has been seen, so the search has something to search
    assert '"quire.wake"' in wire.text()
    assert "quire.jobs" in wire.text()
    everything = wire.text() + dump(url)
    for name, secret in (scene.secrets() | texts).items():
        assert secret not in everything, f"the {name} is in Redis"


def test_no_log_tells_a_secret_whatever_fails(scene: Scene) -> None:
    # given jobs, bad keys, bad bodies and a body that is cut off
    with Quire(scene.services.url, api_key=scene.key) as client:
        job = client.jobs.wait(client.jobs.submit(PROMPT, max_tokens=24, min_tokens=24).id, timeout=120)
        client.jobs.wait(client.jobs.submit(form="poem", theme=THEME, max_tokens=8).id, timeout=120)
    assert scene.request("GET", "/v1/jobs", scene.bad_key) == 401
    assert scene.request("GET", "/v1/tenants", scene.bad_key) == 401
    assert scene.request("POST", "/v1/jobs", scene.key, json={"prompt": PROMPT, "n": 99, "colour": THEME}) == 400
    assert scene.request("POST", "/v1/jobs", scene.key, content=f'{{"prompt": "{PROMPT}'.encode()) in {400, 415}
    assert scene.request("POST", "/v1/jobs", scene.key, json={"prompt": PROMPT * 500}) == 400

    # and Redis away, then Postgres away
    scene.servers["redis"].stop()
    assert scene.request("POST", "/v1/jobs", scene.key, json={"prompt": PROMPT, "max_tokens": 8}) == 202
    scene.servers["postgres"].stop()
    assert scene.request("POST", "/v1/jobs", scene.key, json={"prompt": PROMPT}) == 503
    assert scene.request("GET", f"/v1/jobs/{job.id}", scene.key) == 503
    logs = scene.services.log
    until(lambda: "postgres_away" in logs("api"))
    until(lambda: "heartbeat_failed" in logs("worker"), seconds=60)
    until(lambda: "duty_failed" in logs("scheduler"), seconds=60)

    assert '"level": "debug"' in logs("worker")
    everything = {service: unfolded(logs(service)) for service in scene.services.processes}
    for service, log in everything.items():
        for name, secret in (scene.secrets() | {"text": job.text.strip()[:20]}).items():
            assert secret not in log, f"the {name} is in the log of {service}"
