"""The official OpenAI client, speaking to an app without a socket between them."""

import httpx2
from flask import Flask
from openai import OpenAI


def openai_client(app: Flask, secret: str, **options: object) -> OpenAI:
    transport = httpx2.WSGITransport(app=app)
    return OpenAI(
        base_url="http://quire.test/v1",
        api_key=secret,
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
        **options,  # type: ignore[arg-type]
    )
