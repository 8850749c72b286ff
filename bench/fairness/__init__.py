"""Fairness, limits and growth: what one tenant's greed does to the others, and what a long queue does to all.

Each part is a module with a `measure`; `__main__` names them. `live` starts the whole system with a tiny model,
`bare` a Postgres alone, for what is measured at the level of SQL.
"""
