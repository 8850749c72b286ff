"""Webhooks over HTTP: what may be sent (`requests`), what is shown (`answers`), the endpoints (`keeping`), and
what was sent to them (`deliveries`).
"""
