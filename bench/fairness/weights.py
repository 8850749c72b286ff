"""Three tenants of the weights 1, 2 and 4, all with more to do than they get: their shares of the tokens."""

import random

from bench.engine.driver import say
from bench.fairness.figures import Figure, at_most
from bench.fairness.live import Ask, live, wait_until
from bench.fairness.options import Options
from bench.fairness.served import backlogged, ended, tokens_in

WEIGHTS = (1, 2, 4)
JOBS = 280  # for each unit of weight, so that all last about equally long
SHORTEST, LONGEST = 16, 112  # tokens
WITHIN = 0.05
SETTLE = 1.0  # seconds, in which the slots fill


def measure(options: Options) -> list[Figure]:
    draw = random.Random("weights")
    with live(options, "weights") as system:
        tenants = {weight: system.customers(1, f"weight-{weight}", weight=weight)[0].tenant for weight in WEIGHTS}
        system.queue({
            tenant: [Ask(draw.randint(SHORTEST, LONGEST)) for _ in range(JOBS * weight)]
            for weight, tenant in tenants.items()
        })  # fmt: skip
        wait_until(
            lambda: any(system.count(tenant, "queued") == 0 for tenant in tenants.values()), "queues do not empty"
        )
        jobs = ended(system.system.database_url, list(tenants.values()))
    window = backlogged(jobs, SETTLE)
    tokens = tokens_in(jobs, window)
    total = sum(tokens.values())
    say(f"{total} tokens in {window.seconds:.1f} s")
    figures = [Figure("weights_window", window.seconds, "s")]
    worst = 0.0
    for weight, tenant in tenants.items():
        share, due = tokens[tenant] / total, weight / sum(WEIGHTS)
        worst = max(worst, abs(share / due - 1))
        figures.append(Figure(f"weights_share_of_{weight}", share, f"of the tokens, {due:.3f} due"))
    return [*figures, at_most("weights_deviation", worst, "of a share", WITHIN)]
