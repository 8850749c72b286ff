"""Service of equal tenants that always have jobs waiting: how far apart it ever gets, beside the bound of VTC.

The bound (arXiv 2401.00588, theorem 4.4: over any interval the service of two backlogged clients differs by no
more than 2 U) in the terms of our claims. Let E be the largest estimate of a job in tokens and S the slots of all
workers. A job is charged its estimate at its claim, and goes to the lane with the least charge, also within one
claim of k jobs; at its end the charge is corrected to the work done. Let v be a lane's charge, o its part for jobs
that still run, s = v - o the service that is done. When lane f was last given a job, v_f <= v_g for any other
backlogged g; since then s_f <= v_f + E <= v_g + E = s_g + o_g + E, and s_g never falls. At most S jobs run, so
o_g <= S E. Hence |s_f - s_g| <= U = (S + 1) E at any time after both began at once, and 2 U over any interval.
S E is what VTC calls M, the tokens that a batch may hold; the one E more is what it calls a request's input.

Three tenants of the same weight: one of short jobs, one of long ones, one whose estimates are far too high.
"""

from bench.engine.driver import say
from bench.fairness.figures import Figure, at_most
from bench.fairness.live import SLOTS, Ask, live, wait_until
from bench.fairness.options import Options
from bench.fairness.served import backlogged, ended, gaps

SHORT, LONG = Ask(tokens=16), Ask(tokens=192)
OVERESTIMATED = Ask(tokens=192, stop=("e",))
JOBS = {"short": (SHORT, 1_500), "long": (LONG, 250), "overestimated": (OVERESTIMATED, 2_000)}


def measure(options: Options) -> list[Figure]:
    with live(options, "bound") as system:
        tenants = {name: system.customers(1, name)[0].tenant for name in JOBS}
        system.queue({tenants[name]: [ask] * count for name, (ask, count) in JOBS.items()})
        wait_until(
            lambda: any(system.count(tenant, "queued") == 0 for tenant in tenants.values()), "queues do not empty"
        )
        jobs = ended(system.system.database_url, list(tenants.values()))
        largest = max(system.estimate(ask) for ask, _ in JOBS.values())
    window = backlogged(jobs)
    found = list(gaps(jobs, window))
    limit = (SLOTS + 1) * largest
    say(f"{len(jobs)} jobs in {window.seconds:.1f} s; E = {largest} tokens, S = {SLOTS}")
    return [
        Figure("bound_window", window.seconds, "s"),
        Figure("bound_served", sum(job.work for job in jobs), "tokens"),
        at_most("bound_difference", max(gap.widest for gap in found), "tokens", limit),
        at_most(
            "bound_difference_over_any_interval", max(gap.widest_between for gap in found), "tokens", 2 * limit
        ),
    ]
