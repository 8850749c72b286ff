"""Makes the shipped verse checkpoint from public-domain text; nothing here is imported by the service."""
