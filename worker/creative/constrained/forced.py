"""What has to be written letter by letter, and the end of the text behind it."""

from worker.creative.constrained.vocabulary import Mask, Vocabulary


class Broken(Exception):
    """A token was taken that the constraint does not allow: the text was begun under other rules."""


class Forced:
    """Text that is to come next whatever the model thinks; empty if it is free."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.text = b""
        self.ends = False  # whether the end of the text is what follows

    def __bool__(self) -> bool:
        return bool(self.text) or self.ends

    def allowed(self) -> Mask:
        return self._vocabulary.beginning(self.text) if self.text else self._vocabulary.end

    def accept(self, written: bytes) -> None:
        """Go on behind what a token wrote.

        Raises:
            Broken: something else was to come.

        """
        if not self.text and self.ends and not written:
            return
        if not written or not self.text.startswith(written):
            raise Broken(f"{written!r} was written where {self.text!r} was to come")
        self.text = self.text[len(written) :]
