"""Batches, schedules and webhooks, measured on the whole system: `python -m bench.batches`."""
