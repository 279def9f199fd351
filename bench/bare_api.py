"""The reference of the availability bench: FastAPI that returns bytes it was given."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

app = FastAPI()
_BODY = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else b""


@app.get("/bare")
async def bare() -> Response:
    """The bytes."""
    return Response(_BODY, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
