"""Lifecycle: what can be started and stopped, and a stack of such things."""

from __future__ import annotations

from typing import Protocol


class Service(Protocol):
    """Anything long-lived. `stop` is safe twice and before `start`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Stack:
    """Services that start in order and stop in reverse; one that does not start takes down those before it."""

    def __init__(self, *services: Service) -> None:
        self._services = services

    async def start(self) -> None:
        try:
            for service in self._services:
                await service.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        for service in reversed(self._services):
            await service.stop()
