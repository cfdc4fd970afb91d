"""Serve the front, with our services and ministack behind it, until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import uvicorn

from local.cloud import (
    alarms,
    apis,
    applicationautoscaling,
    buckets,
    clock,
    codebuild,
    codedeploy,
    codepipeline,
    emulator,
    lambdas,
    machines,
    private,
    sagemaker,
    schedules,
    servicecatalog,
)
from local.cloud.access import Guard
from local.cloud.codebuild.projects import Projects
from local.cloud.context import Context
from local.cloud.front import Front
from local.cloud.lambdas.executions import Executions
from local.cloud.wire import Protocol

if TYPE_CHECKING:
    import socket

    from local.cloud.process import Cloud, Files

logger = logging.getLogger(__name__)
# Requests in flight may end; after that connections are closed.
DRAIN_SECONDS = 5
LOOK_EVERY_TICKS = 20  # of a tenth of a second


class Server(uvicorn.Server):
    """Announces itself when it is ready."""

    def __init__(self, config: uvicorn.Config, files: Files, cloud: Cloud) -> None:
        """Keep what the record says."""
        super().__init__(config)
        self._files, self._cloud = files, cloud

    async def on_tick(self, counter: int) -> bool:
        """End when the project is removed: nobody could stop this cloud any more."""
        gone = counter % LOOK_EVERY_TICKS == 0 and not self._files.lock.exists()
        return gone or await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Write the record once requests are answered."""
        await super().startup(sockets)
        if self.should_exit or not sockets:
            return
        record = {
            "pid": self._cloud.pid,
            "port": self._cloud.port,
            "region": self._cloud.region,
            "speed": self._cloud.speed,
            "started": clock.iso(clock.now()),
            "access_key_id": self._cloud.key.id,
            "secret_access_key": self._cloud.key.secret,
        }
        private.write_whole(self._files.record, json.dumps(record))


def run(files: Files, listener: socket.socket, here: Cloud) -> int:
    """Serve until SIGTERM or SIGINT, then end jobs and endpoints; 1 when ministack does not fit."""
    try:
        context = Context.create(files.root, files.state, here.region, clock.Clock(here.speed))
        executions, projects = Executions(context), Projects(context, here.client)
        catalog = servicecatalog.service(context, here.client)
        models = sagemaker.service(context, here.client, catalog)
        services = (
            catalog,
            models,
            applicationautoscaling.service(context, models),
            lambdas.service(executions),
            alarms.service(context),
            schedules.service(context, executions),
            machines.service(context),
            apis.service(),
            buckets.service(),
            codedeploy.service(context, executions),
            codebuild.service(projects),
            codepipeline.service(context, here.client, projects),
        )
        emulator.install(services, here.client)
    except emulator.MissingNameError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    # uvicorn raises the signal again after it has ended, which must not kill what still ends.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        Front(emulator.application(), services, Guard(here.key, emulator.issued, emulator.awaited)),
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
    asyncio.run(Server(config, files, here).serve([listener]))
    files.record.unlink(missing_ok=True)
    logging.shutdown()
    # State machines wait in threads that Python would join; all that must end has ended.
    os._exit(0)
