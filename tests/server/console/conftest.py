"""A furnished gateway, and browsers that are logged in to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.invented_gateway import PASSWORD, furnish, invented_settings
from fastapi.testclient import TestClient

from bedside.server.app import make_app
from bedside.server.gateway import Gateway, open_gateway

LogIn = Callable[[str], TestClient]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose engine cannot be reached, with people, keys and calls."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    settings = invented_settings(folder, ())
    furnish(settings)
    opened = open_gateway(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stranger(gateway: Gateway) -> TestClient:
    """Somebody who is not logged in."""
    return TestClient(make_app(gateway), base_url="http://localhost", follow_redirects=False)


@pytest.fixture(scope="module")
def logged_in(gateway: Gateway) -> LogIn:
    """Gives a client with the session of a login."""
    app, clients = make_app(gateway), dict[str, TestClient]()

    def client(login: str) -> TestClient:
        if login not in clients:
            made = TestClient(app, base_url="http://localhost", follow_redirects=False)
            answer = made.post("/console/login", data={"login": login, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            page = made.get("/console").text
            made.headers["X-CSRF-Token"] = re.findall(r'name="csrf" value="([0-9a-f]+)"', page)[0]
            clients[login] = made
        return clients[login]

    return client
