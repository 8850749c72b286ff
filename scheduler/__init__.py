"""The scheduler: small duties, each due at its own interval. Any number of processes; none is the leader."""
