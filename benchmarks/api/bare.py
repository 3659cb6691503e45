"""A bare FastAPI handler that answers pages from memory, over TLS as the API does: what saying them costs."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def main() -> None:
    """Serve the files of a folder by their names: bare FOLDER CERTIFICATE KEY PORT."""
    folder, certificate, key, port = sys.argv[1:]
    pages = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    app = FastAPI(openapi_url=None)

    @app.get("/{name}")
    def page(name: str) -> Response:
        return Response(pages[name], media_type="application/json")

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,
        access_log=False,
    )


if __name__ == "__main__":
    main()
