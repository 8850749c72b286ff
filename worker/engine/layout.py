from dataclasses import dataclass

# Key lengths tried, in tokens. Attention reads the padded length, so short ones save time.
CANDIDATE_BUCKETS = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The shapes the forward pass keeps to, so that a token's bits do not depend on its company.

    `rows`: least number of rows in a matrix product, and the multiple to which query rows are padded.
    `buckets`: ascending key lengths that attention may be padded to; the last one holds the context.
    """

    rows: int
    buckets: tuple[int, ...]

    def bucket(self, length: int) -> int:
        """Return the least allowed key length that holds `length` keys."""
        for bucket in self.buckets:
            if bucket >= length:
                return bucket
        raise ValueError(f"{length} keys do not fit into {self.buckets[-1]}")

    def padded_rows(self, rows: int) -> int:
        """Return `rows` rounded up to a multiple of `self.rows`."""
        return -(-rows // self.rows) * self.rows


def cache_length(context: int) -> int:
    """Return how many positions a slot holds for a context of `context` tokens."""
    return -(-context // ALIGNMENT) * ALIGNMENT


def candidate_buckets(context: int) -> tuple[int, ...]:
    """Return the key lengths worth trying for `context`, ascending; the last one holds it whole."""
    longest = cache_length(context)
    return (*(b for b in CANDIDATE_BUCKETS if b < longest), longest)
