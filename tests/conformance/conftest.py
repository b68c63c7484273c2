"""The clients that others wrote; after each test no container is left in the engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.clients import DockerCli, Wire
from tests.engine_process import EngineProcess


@pytest.fixture
def docker(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerCli]:
    """The docker CLI; containers of the test are removed behind it."""
    cli = DockerCli(engine=engine, home=tmp_path_factory.mktemp("docker-config"))
    yield cli
    cli.remove_containers()


@pytest.fixture
def wire(engine: EngineProcess) -> Iterator[Wire]:
    """Plain HTTP; containers of the test are removed behind it."""
    plain = Wire(path=engine.socket)
    yield plain
    for container in plain.ask("GET", "/containers/json?all=1").json:
        plain.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
