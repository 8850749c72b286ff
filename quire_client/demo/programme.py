"""What the demo asks for: verse by form and free, in different samplings, and a tune where a model makes some."""

from collections.abc import Mapping
from typing import Any

SETTINGS = {"max_tokens": 140, "temperature": 0.9, "top_p": 0.8}

# Heading → fields of the job.
PROGRAMME: Mapping[str, Mapping[str, Any]] = {
    "The Harbour": {
        **SETTINGS, "form": "poem", "title": "The Harbour", "theme": "sea and night", "seed": 7,
    },
    "First Snow": {
        "form": "poem", "title": "First Snow", "theme": "winter and silence",
        "max_tokens": 140, "temperature": 1.0, "top_k": 20, "seed": 11,
    },
    "Of rain and memory": {
        **SETTINGS, "form": "poem", "theme": "rain, autumn and memory", "repetition_penalty": 1.1, "seed": 23,
    },
    "A continuation": {
        **SETTINGS, "prompt": "Come down with me to the river's edge,\nWhere the willows lean and", "seed": 42,
    },
    "Spring, twice": {
        **SETTINGS, "form": "poem", "title": "Spring", "theme": "spring and birds",
        "max_tokens": 120, "n": 2, "seed": 5,
    },
    "The Lamplighter": {
        "form": "poem", "title": "The Lamplighter", "theme": "light and city",
        "max_tokens": 120, "temperature": 1.0, "min_p": 0.1, "best_of": 3, "seed": 99,
    },
}  # fmt: skip

# Beside it, where a model for music is served.
TUNES: Mapping[str, Mapping[str, Any]] = {
    "The Lighthouse Jig": {
        "kind": "music", "style": "jig", "key": "G major", "title": "The Lighthouse Jig", "temperature": 0.9,
        "top_p": 0.95, "seed": 3,
    },
}  # fmt: skip
