"""Virtual token counters (Sheng et al., "Fairness in Serving Large Language Models", arXiv 2401.00588).

Each lane carries a virtual time: the tokens of work it was served, divided by its tenant's weight. A claim serves
the backlogged lanes with the least. A job is charged its estimate when it is claimed, so that a lane cannot win
every slot before its first job ends, and corrected to the work done when the claim ends.
All work is charged, also what is recomputed or thrown away; only delivered text is billed (quire/store/ledger.py).
"""


def estimate(prompt_tokens: int, max_tokens: int, draws: int) -> int:
    """Work in tokens of a job that uses all it may: one prefill of the prompt and every draw to its end."""
    return prompt_tokens + max_tokens * draws


def work_of_claim(prompt_tokens: int, logged_tokens: int) -> int:
    """Work in tokens of one claim, from what it left in the log.

    What an earlier claim had logged was prefilled again by this one, so the whole log counts.
    """
    return prompt_tokens + logged_tokens


def work_unheard(prompt_tokens: int, max_tokens: int, estimated: int, logged_tokens: int) -> int:
    """Work in tokens of a claim whose worker was not heard: it died, or its job was cancelled.

    Draws of which the best is chosen in the end leave no log until then. How far they were is not known, so
    such a job is charged its estimate.
    """
    if estimated > estimate(prompt_tokens, max_tokens, 1):
        return estimated
    return work_of_claim(prompt_tokens, logged_tokens)
