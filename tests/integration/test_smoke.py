from quire import jobs, testing
from quire.store.job import State


def test_smoke(place):
    db, t = place.database, place.tenant
    with db.tenant(t.id) as s:
        a = testing.add_job(s, t)
        b = testing.add_job(s, t, priority=5)
    with db.service() as s:
        w = testing.add_worker(s)
    with db.service() as s:
        got = jobs.claim(s, model="tiny", worker_id=w, numerics="fake", k=8)
    assert [g.id for g in got] and {g.id for g in got} == {a.id, b.id}
    with db.service() as s:
        lost = jobs.commit(
            s, [jobs.Report(a.id, 1, (), jobs.Outcome(State.SUCCEEDED, 10, 5)), jobs.Report(b.id, 9, ())]
        )
    assert lost == {b.id}
    with db.tenant(t.id) as s:
        c = jobs.cancel(s, t.id, b.id)
        assert c.state == State.CANCELLED and c.fence == 2, c.fence
