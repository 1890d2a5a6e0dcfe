"""The way past the framework: a route that needs nothing of it is answered before its middleware and its routing are reached.

For the masked profile, which is asked for all day: the framework's way costs more than everything else between socket and lane. It
stands among the other routes as well, which describe it and answer other methods of its path.
"""

from collections.abc import Iterable
from typing import cast

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import Guarded
from api.problems import Handler, answered


class Direct(Guarded):
    """A guarded route whose endpoint takes the request alone.

    What the framework's parameters would have checked, the endpoint checks; what they would have described, `openapi_extra` does.
    """

    def handler(self) -> Handler:
        """Return the endpoint itself."""
        return cast(Handler, self.endpoint)


class Express:
    """Answers direct routes, their errors as problems; whatever else comes goes on to `app`."""

    def __init__(self, app: ASGIApp, routes: Iterable[Direct]) -> None:
        self._app = app
        self._routes = [
            (method, route.path_regex, route, route.get_route_handler()) for route in routes for method in route.methods or ()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http":
            for method, pattern, route, handler in self._routes:
                if scope["method"] == method and (found := pattern.match(scope["path"])):
                    scope["route"], scope["path_params"] = route, found.groupdict()
                    response = await answered(Request(scope, receive), handler)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)
