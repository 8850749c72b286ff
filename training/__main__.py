"""`python -m training tunes`: make a checkpoint, going on from its last finished step.

`python -m training tunes STEP…` runs the named steps alone, whether they were done or not.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from training import config


@dataclass(frozen=True)
class Step:
    """A step: the function that does it, and the files it leaves when it is done."""

    module: str
    function: str
    leaves: tuple[str, ...]

    def do(self, settings: config.Config) -> None:
        """Run the step; its module, and what that needs, is imported only now."""
        module = importlib.import_module(self.module.format(kind=settings.kind))
        function: Callable[[config.Config], None] = getattr(module, self.function)
        function(settings)

    def done(self, settings: config.Config) -> bool:
        """Whether all that the step leaves is there."""
        places = {"work": settings.work, "checkpoint": config.CHECKPOINTS / settings.name}
        paths = [places[place] / name for place, _, name in (left.partition("/") for left in self.leaves)]
        return bool(paths) and all(path.exists() for path in paths)


STEPS = {
    "fetch": Step("training.fetch", "run", ()),
    "corpus": Step(
        "training.{kind}.corpus", "run", ("work/train.jsonl", "work/validation.jsonl", "work/corpus.json")
    ),
    "vocabulary": Step("training.vocabulary", "run", ("work/tokenizer.json",)),
    "encode": Step(
        "training.vocabulary", "encode", ("work/train.npy", "work/validation.npy", "work/encoded.json")
    ),
    "train": Step("training.train", "run", ()),
    "export": Step("training.export", "run", ()),
    "evaluate": Step("training.evaluate", "run", ()),
    "card": Step("training.card", "run", ()),
}


def main() -> None:
    """Run the steps; `SystemExit` names an unknown checkpoint or step."""
    name, *wanted = sys.argv[1:] or [""]
    if not (config.HERE / f"{name}.toml").exists() or set(wanted) - STEPS.keys():
        checkpoints = "|".join(sorted(path.stem for path in config.HERE.glob("*.toml")))
        raise SystemExit(f"usage: python -m training {checkpoints} [{'|'.join(STEPS)}]…")
    settings = config.named(name)
    for key in wanted or STEPS:
        if wanted or not STEPS[key].done(settings):
            STEPS[key].do(settings)
        else:
            print(f"{key}: done before", flush=True)


if __name__ == "__main__":
    main()
