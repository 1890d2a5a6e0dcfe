"""The reference: the cheapest honest durable answer FastAPI gives, one INSERT of an audit row before each.

`hello_commit` is the divisor of every ratio: an `async def` route, an asyncpg pool of five with its defaults, autocommit,
`synchronous_commit = on`, an orjson answer. No token, no decision, no key, no mask. `hello_commit_sync` is the same with a `def`
route and psycopg, shown beside it, never the divisor: it shares our driver, the reference must not share our choices.

    python -m benchmarks.reference hello_commit --port 8001 --dsn postgresql:///...
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
import uvicorn
from fastapi import FastAPI, Response
from psycopg_pool import ConnectionPool

from benchmarks.row import INSERT, PSYCOPG_INSERT, ROW, TABLE

CONNECTIONS = 5
ASYNCPG_INSERT = INSERT + "($1, $2, $3, $4)"


def hello_commit(dsn: str) -> FastAPI:
    """Return the reference."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
            await pool.execute(TABLE)
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=running)

    @app.get("/hello")
    async def hello() -> Response:
        await app.state.pool.execute(ASYNCPG_INSERT, *ROW)
        return Response(orjson.dumps({"hello": ROW[1]}), media_type="application/json")

    return app


def hello_commit_sync(dsn: str) -> FastAPI:
    """Return the reference's synchronous sibling."""
    plain = {"autocommit": True, "prepare_threshold": 0}
    pool = ConnectionPool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=plain, open=False)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        pool.open(wait=True)
        with pool.connection() as connection:
            connection.execute(TABLE)
        yield
        pool.close()

    app = FastAPI(lifespan=running)

    @app.get("/hello")
    def hello() -> Response:
        with pool.connection() as connection:
            connection.execute(PSYCOPG_INSERT, ROW)
        return Response(orjson.dumps({"hello": ROW[1]}), media_type="application/json")

    return app


REFERENCES = {"hello_commit": hello_commit, "hello_commit_sync": hello_commit_sync}


def main() -> None:
    """Serve one of them on loopback until told to stop."""
    asked = argparse.ArgumentParser()
    asked.add_argument("name", choices=sorted(REFERENCES))
    asked.add_argument("--port", type=int, required=True)
    asked.add_argument("--dsn", required=True)
    given = asked.parse_args()
    app = REFERENCES[given.name](given.dsn)
    uvicorn.run(app, host="127.0.0.1", port=given.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
