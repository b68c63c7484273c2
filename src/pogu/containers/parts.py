"""Service: the parts that containers are made of, each constructed once from those below it.

Reading order: `rows` and `registry` know the containers, `states` changes what is known, the rest
does things to them. `service.py` is what others see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from pogu.config import Config
from pogu.containers.archive import ContainerArchive
from pogu.containers.attachment import Attachments
from pogu.containers.background import Background
from pogu.containers.bundles import Bundles
from pogu.containers.confinement import Confinement
from pogu.containers.creation import Creator
from pogu.containers.entry import Entry
from pogu.containers.execs import Execs
from pogu.containers.filesystem import ContainerFiles
from pogu.containers.freezer import Freezer
from pogu.containers.launch import Launcher
from pogu.containers.lifecycle import Lifecycle
from pogu.containers.linking import Links
from pogu.containers.logs import ContainerLogs
from pogu.containers.probes import Probes
from pogu.containers.recovery import Recovery
from pogu.containers.registry import Registry
from pogu.containers.removal import AnonymousVolumes, Removal
from pogu.containers.rootfs import RootFilesystems
from pogu.containers.rows import Rows
from pogu.containers.states import States
from pogu.containers.stop import Stopper
from pogu.containers.updates import Updates
from pogu.containers.usage import Usage
from pogu.containers.why import Explainer
from pogu.db import Database
from pogu.events import EventBus
from pogu.images.store import ImageStore
from pogu.linux.cgroup import CgroupSetup, detect
from pogu.linux.cgroup_move import GroupMoves
from pogu.network.service import Networks
from pogu.runtime.conmon import Conmon
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore
from pogu.volumes.service import Volumes

__all__ = ["Parts"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Given what containers stand on."""

    config: Config
    db: Database
    events: EventBus
    layers: LayerStore
    images: ImageStore
    networks: Networks
    volumes: Volumes
    runtime: OciRuntime
    conmon: Conmon
    clock_ns: Callable[[], int] = time.time_ns
    steady_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    # ---- who they are --------------------------------------------------------------------

    @cached_property
    def rows(self) -> Rows:
        return Rows(self.db)

    @cached_property
    def registry(self) -> Registry:
        """With every container that has a row."""
        registry = Registry()
        for name, record, state in self.rows.load():
            registry.add(Entry(name, record, state))
        return registry

    @cached_property
    def states(self) -> States:
        return States(
            rows=self.rows,
            events=self.events,
            conmon=self.conmon,
            clock_ns=self.clock_ns,
            steady_s=self.steady_s,
        )

    @cached_property
    def background(self) -> Background:
        return Background()

    # ---- the host ------------------------------------------------------------------------

    @cached_property
    def cgroup(self) -> CgroupSetup:
        return detect()

    @cached_property
    def moves(self) -> GroupMoves:
        return GroupMoves(self.cgroup)

    @cached_property
    def bundles(self) -> Bundles:
        return Bundles(self.config.paths)

    @cached_property
    def roots(self) -> RootFilesystems:
        return RootFilesystems(
            paths=self.config.paths,
            layers=self.layers,
            volumes=self.volumes,
            bundles=self.bundles,
        )

    @cached_property
    def confinement(self) -> Confinement:
        return Confinement(self.runtime)

    @cached_property
    def links(self) -> Links:
        return Links(
            registry=self.registry,
            rows=self.rows,
            networks=self.networks,
            containers=self.config.paths.containers,
        )

    # ---- the life ------------------------------------------------------------------------

    @cached_property
    def creator(self) -> Creator:
        return Creator(
            registry=self.registry,
            rows=self.rows,
            bundles=self.bundles,
            conmon=self.conmon,
            images=self.images,
            networks=self.networks,
            volumes=self.volumes,
            cgroup=self.cgroup,
            driver=self.runtime.cgroup_driver,
            log_driver=self.config.log_driver,
            userns_remap=self.config.userns_remap,
        )

    @cached_property
    def launcher(self) -> Launcher:
        return Launcher(
            config=self.config,
            bundles=self.bundles,
            roots=self.roots,
            confinement=self.confinement,
            networks=self.networks,
            runtime=self.runtime,
            conmon=self.conmon,
            cgroup=self.cgroup,
            moves=self.moves,
            volumes=self.volumes,
            find=self.registry.find,
            links=self.links,
        )

    @cached_property
    def attachments(self) -> Attachments:
        return Attachments(conmon=self.conmon, tmp=self.config.paths.tmp)

    @cached_property
    def freezer(self) -> Freezer:
        return Freezer(states=self.states, runtime=self.runtime)

    @cached_property
    def stopper(self) -> Stopper:
        return Stopper(states=self.states, freezer=self.freezer)

    @cached_property
    def anonymous_volumes(self) -> AnonymousVolumes:
        return AnonymousVolumes(
            volumes=self.volumes, registry=self.registry, background=self.background
        )

    @cached_property
    def removal(self) -> Removal:
        return Removal(
            states=self.states,
            rows=self.rows,
            bundles=self.bundles,
            launcher=self.launcher,
            stopper=self.stopper,
            background=self.background,
            registry=self.registry,
            volumes=self.anonymous_volumes,
            tmp=self.config.paths.tmp,
        )

    @cached_property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(
            states=self.states,
            launcher=self.launcher,
            attachments=self.attachments,
            stopper=self.stopper,
            removal=self.removal,
            runtime=self.runtime,
            conmon=self.conmon,
            background=self.background,
            probes=Probes(
                prober=self.execs,
                note=self.states.note_health,
                publish=self.states.publish,
                publish_exec=self.states.publish_recurring,
                ran_s=self.states.ran_s,
            ),
            sleep=self.sleep,
        )

    @cached_property
    def updates(self) -> Updates:
        return Updates(states=self.states, rows=self.rows, runtime=self.runtime, cgroup=self.cgroup)

    @cached_property
    def recovery(self) -> Recovery:
        return Recovery(
            paths=self.config.paths,
            states=self.states,
            lifecycle=self.lifecycle,
            removal=self.removal,
            bundles=self.bundles,
            launcher=self.launcher,
            runtime=self.runtime,
            conmon=self.conmon,
        )

    # ---- looking into them ---------------------------------------------------------------

    @cached_property
    def archive(self) -> ContainerArchive:
        return ContainerArchive(
            paths=self.config.paths,
            roots=self.roots,
            states=self.states,
            volumes=self.volumes,
            find=self.registry.find,
        )

    @cached_property
    def files(self) -> ContainerFiles:
        return ContainerFiles(
            paths=self.config.paths,
            layers=self.layers,
            images=self.images,
            bundles=self.bundles,
            roots=self.roots,
            states=self.states,
            freezer=self.freezer,
            find=self.registry.find,
        )

    @cached_property
    def execs(self) -> Execs:
        return Execs(
            paths=self.config.paths,
            registry=self.registry,
            runtime=self.runtime,
            moves=self.moves,
            publish=self.states.publish,
        )

    @cached_property
    def logs(self) -> ContainerLogs:
        return ContainerLogs(
            config=self.config,
            conmon=self.conmon,
            entries=self.registry,
            log_path=lambda entry: self.bundles.log_path(entry.record),
        )

    @cached_property
    def usage(self) -> Usage:
        return Usage(registry=self.registry, layers=self.layers, bundles=self.bundles)

    @cached_property
    def explainer(self) -> Explainer:
        return Explainer(
            paths=self.config.paths, registry=self.registry, rows=self.rows, logs=self.logs
        )
