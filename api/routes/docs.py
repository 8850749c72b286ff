"""The API's description: as OpenAPI, and as a page of the same for people."""

import base64
import hashlib
import json
from pathlib import Path

from flask import Blueprint, Response, render_template

from api.openapi import document
from api.services import Services

STYLE = Path(__file__).parent.parent / "templates" / "docs.css"


def blueprint(_services: Services) -> Blueprint:
    routes = Blueprint("docs", __name__)
    described = document()
    serialised = json.dumps(described, ensure_ascii=False)
    style = STYLE.read_text(encoding="utf-8")
    # The page brings its style along, and its policy allows that one style and nothing else.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return Response(serialised, mimetype="application/json")

    @routes.get("/docs")
    def page() -> Response:
        html = render_template("docs.html", document=described, style=style)
        return Response(html, mimetype="text/html", headers={"Content-Security-Policy": policy})

    return routes
