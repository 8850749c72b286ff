"""`quire up`: the whole system on one machine, under one supervisor, with its data in one directory."""
