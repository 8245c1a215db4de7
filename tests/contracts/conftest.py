"""One chain a module, as it was deployed for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.world import World, chain, deploy


@pytest.fixture(scope="module")
def shared() -> World:
    """A registry for a whole module; tests that change it go through `world`."""
    web3 = chain()
    return deploy(web3, web3.eth.accounts)


@pytest.fixture
def world(shared: World) -> Iterator[World]:
    """The registry as it was deployed, whatever the test did to it before."""
    snapshot = shared.tester.take_snapshot()
    yield shared
    shared.tester.revert_to_snapshot(snapshot)
