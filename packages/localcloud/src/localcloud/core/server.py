"""Serve the gateway, with our services and ministack behind it, until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import uvicorn

from localcloud.core import clock, kept, kept_files, ministack, private_files
from localcloud.core.access import Guard
from localcloud.core.clock_route import ClockRoute
from localcloud.core.context import CloudContext
from localcloud.core.errors import CloudError
from localcloud.core.gateway import Gateway
from localcloud.core.http_protocol import Protocol
from localcloud.core.keeper import Keeper
from localcloud.core.patches import MissingNameError
from localcloud.core.timers import Timers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from localcloud.core.process import Cloud
    from localcloud.core.service import Service

    Register = Callable[[CloudContext, Callable[[str], Any]], tuple[Service, ...]]

logger = logging.getLogger(__name__)
# Requests in flight have this time to end; then connections are closed.
DRAIN_SECONDS = 5
LOCK_CHECK_TICKS = 20  # of a tenth of a second


class Server(uvicorn.Server):
    """The server, which writes the cloud's record when it is ready."""

    def __init__(self, gateway: Gateway, cloud: Cloud, keeper: Keeper) -> None:
        """Take the cloud, whose record it is, and the keeper, which begins when requests are answered."""
        super().__init__(_config(gateway))
        self._gateway, self._cloud, self._keeper = gateway, cloud, keeper

    async def on_tick(self, counter: int) -> bool:
        """End when the project is removed, since no command could stop this cloud any more."""
        gone = counter % LOCK_CHECK_TICKS == 0 and not self._cloud.project.lock.exists()
        return gone or await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Write the record once requests are answered."""
        await super().startup(sockets)
        if self.should_exit or not sockets:
            return
        self._keeper.begin()
        write_record(self._cloud, clock.now())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Save before anything is ended: what reacts to an end would be recorded as well."""
        if self._keeper.wanted:
            await self._gateway.save_end(self._keeper.close)
        await super().shutdown(sockets)


def write_record(cloud: Cloud, started: float) -> None:
    """Write the record by which commands find the cloud."""
    record = {
        "pid": cloud.pid,
        "port": cloud.port,
        "region": cloud.region,
        "speed": cloud.speed,
        "skip": cloud.skip,
        "started": clock.iso(started),
        "access_key_id": cloud.key.id,
        "secret_access_key": cloud.key.secret,
    }
    private_files.write_whole(cloud.project.record, json.dumps(record))


def _config(gateway: Gateway) -> uvicorn.Config:
    """Return the server's settings."""
    return uvicorn.Config(
        gateway,
        lifespan="on",
        loop="asyncio",
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=75,
    )


def run(listener: socket.socket, cloud: Cloud, register: Register) -> int:
    """Serve until SIGTERM or SIGINT, then save, and end jobs and endpoints.

    Returns 1 for another ministack, and for a kept state that can't be loaded, which stays as it is.
    """
    began = clock.now()

    def change(speed: float, skip: bool) -> None:  # noqa: FBT001 - a callback's signature
        write_record(replace(cloud, speed=speed, skip=skip), began)

    try:
        found = kept.read(cloud.project)
        if lost := kept_files.missing_state(cloud.project):
            sys.stderr.write(f"warning: {lost}.\n")
        timers = Timers(kept.resumed_clock(cloud.speed, found[0] if found else None), skip=cloud.skip)
        context = CloudContext.create(cloud.project, timers)
        services = register(context, cloud.client)
        keeper = Keeper(context, services)
        if found:
            keeper.load(found[1])
    except (CloudError, MissingNameError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    # uvicorn raises the signal again after its end, which must not kill this process before jobs have ended.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    guard = Guard(cloud.key, ministack.issued, ministack.awaited, cloud.project.commands.start)
    gateway = Gateway(ministack.application(), services, guard, timers, ClockRoute(timers, change))
    asyncio.run(Server(gateway, cloud, keeper).serve([listener]))
    cloud.project.record.unlink(missing_ok=True)
    logging.shutdown()
    # State machines wait in threads that Python would join; jobs and endpoints have ended by now.
    os._exit(0)
