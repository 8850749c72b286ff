"""The one Celery task, without a broker."""

from celery import Celery

from quire.queue import WAKE, celery_app
from tests.unit.worker.fakes import FakeEngine, claimed
from tests.unit.worker.places import Shop
from worker import tasks


def app_with(shop: Shop) -> Celery:
    app = celery_app("memory://", "tiny")
    tasks.register(app, shop.runner)
    return app


def test_a_token_wakes_a_slot() -> None:
    shop, job = Shop(FakeEngine()), claimed()
    shop.claimer.jobs = [job]

    app_with(shop).tasks[WAKE].apply().get()

    assert shop.flushed(job).state == "succeeded"


def test_a_token_for_which_there_is_no_job_is_harmless() -> None:
    shop = Shop(FakeEngine())

    result = app_with(shop).tasks[WAKE].apply()

    assert result.successful()
    assert shop.postgres.commits == []


def test_a_worker_consumes_the_queue_of_its_model_alone() -> None:
    assert [queue.name for queue in celery_app("memory://", "tiny").conf.task_queues] == ["quire.tiny"]


def test_a_worker_fetches_no_tokens_ahead() -> None:
    # With prefetch a full worker hoarded tokens while another sat idle.
    conf = celery_app("memory://", "tiny").conf

    assert (conf.worker_disable_prefetch, conf.task_acks_late) == (True, False)
