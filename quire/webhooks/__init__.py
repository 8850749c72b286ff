"""Webhooks after Standard Webhooks 1.0: what is told (`events`), how it is signed (`signing`), and where it may
be sent (`targets`). The outbox is in `quire.store.webhook`; a scheduler delivers from it.
"""
