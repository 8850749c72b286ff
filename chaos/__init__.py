"""Fault runs: the real system under load and under faults, and a checker that proves what became of every job."""
