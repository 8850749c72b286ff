"""Process settings that must be in place before torch makes its first matrix product. Import this first."""

import os

# MKL's strict conditional numerical reproducibility: a row of a product then has the same bits whatever
# the number of rows and threads (above a small number of rows on some CPUs, see `numerics`). Without it a
# neighbour in the batch would change a text.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
