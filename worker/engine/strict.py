"""Process settings that must be in place before torch makes its first matrix product. Import this first."""

import os

# MKL's strict conditional numerical reproducibility: a row of a product then has the same bits whatever
# the number of rows and threads (above a small number of rows on some CPUs, see `numerics`). Without it a
# neighbour in the batch would change a text.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# Threads that wait for each other spin this often before they sleep. By default they spin for milliseconds,
# which collapses as soon as another process wants the core (measured beside a busy process, 2 cores: 340
# tokens/s by default, 830 with 1000 spins; on an idle machine it costs about a fifth).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
