"""`python -m quire_client.demo`: the whole system started, used by a client, and stopped."""
