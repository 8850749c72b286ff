"""What was asked of the engine, by figure and peer; each is published beside the ratio that was measured."""

from collections.abc import Mapping

from bench.engine import end_to_end, forms, mixed, totals

AHEAD = 1.0
FORMS = 1 / 1.15  # of a free step divided by one of a form: 15 % more at most
INT8_PERPLEXITY = 0.998  # of fp32 divided by int8: within 0.2 %

TARGETS: Mapping[tuple[str, str], float] = {
    (totals.own_figure("fp32", 64), f"{totals.CTRANSLATE2} fp32"): 1.6,
    (totals.own_figure("fp32", 64), totals.STATIC): 2.0,
    (totals.own_figure("fp32", 64), totals.ONE_AT_A_TIME): 15.0,
    (totals.own_figure("int8", 64), f"{totals.CTRANSLATE2} int8"): 2.4,
    (totals.own_figure("int8", 64), totals.ONE_AT_A_TIME): 36.0,
    **{
        (totals.own_figure(precision, size), f"{totals.CTRANSLATE2} {precision}"): AHEAD
        for precision in ("fp32", "int8")
        for size in (1, 8)
    },
    **{
        (forms.figure_of(precision, name), forms.FREE): FORMS
        for precision in ("fp32", "int8")
        for name in forms.NAMES.values()
    },
    ("cpu_fp32_mixed_makespan", mixed.STATIC): 2.5,
    ("cpu_int8_mixed_makespan", mixed.STATIC): 2.5,
    ("perplexity_int8", "Quire fp32"): INT8_PERPLEXITY,
    ("cpu_fp32_end_to_end", end_to_end.ALONE): 0.9,
    ("cpu_int8_end_to_end", end_to_end.ALONE): 0.9,
}
