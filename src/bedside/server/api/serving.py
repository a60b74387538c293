"""Routes that ask a model stand on this: none is asked while a release is not what its owner made."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from bedside.server.gateway import Gateway, gateway_of


async def _whole(request: Request) -> Gateway:
    gateway = gateway_of(request)
    gateway.integrity.require()
    return gateway


Serving = Annotated[Gateway, Depends(_whole)]
"""A route's gateway, its releases whole; refused with 503 `release_changed` where one is not."""
