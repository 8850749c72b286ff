"""What is asked of a model's tokenizer."""

from typing import Protocol

from worker.engine.detokenizer import Decodes


class Tokenizes(Decodes, Protocol):
    def encode(self, text: str) -> list[int]: ...
