"""Service: the one place that constructs the services, and their order at start and end."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pogu.build.service import Builder
from pogu.config import Config, Paths
from pogu.containers.parts import Parts
from pogu.containers.service import Containers
from pogu.db import Database
from pogu.errors import DataLoss
from pogu.events import EventBus, EventJournal
from pogu.images.blob_collection import BlobCollection
from pogu.images.download import Downloads
from pogu.images.forms import Forms
from pogu.images.index_push import IndexPusher
from pogu.images.indexes import Indexes
from pogu.images.leftovers import Leftovers
from pogu.images.load import Loader
from pogu.images.manifest_lists import ManifestLists
from pogu.images.packing import Packer
from pogu.images.provenance import Provenance
from pogu.images.pull import Puller
from pogu.images.push import Pusher
from pogu.images.remote import Remote
from pogu.images.save import Saver
from pogu.images.store import ImageStore
from pogu.images.variants import Variants
from pogu.images.verification import Verification
from pogu.linux.blocking import in_thread
from pogu.network.service import Networks
from pogu.runtime.conmon import Conmon
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.probe import choose_runtime
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore
from pogu.upkeep.check import Checker
from pogu.upkeep.prune import Pruning
from pogu.upkeep.repair import Repairer
from pogu.volumes.service import Volumes

__all__ = ["Engine", "open_engine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """All services of one storage root."""

    config: Config
    db: Database
    events: EventBus
    blobs: BlobStore
    layers: LayerStore
    images: ImageStore
    networks: Networks
    volumes: Volumes
    runtime: OciRuntime
    conmon: Conmon
    containers: Containers
    builder: Builder
    indexes: Indexes
    variants: Variants
    forms: Forms
    lists: ManifestLists
    remote: Remote
    downloads: Downloads
    leftovers: Leftovers
    puller: Puller
    pusher: Pusher
    index_pusher: IndexPusher
    pruning: Pruning
    loader: Loader
    saver: Saver
    checker: Checker
    repairer: Repairer

    @property
    def busy(self) -> bool:
        """True while something runs that needs the engine."""
        return self.containers.running > 0 or self.builder.running > 0

    async def close(self) -> None:
        """Let go; containers go on."""
        self.downloads.close()
        await self.leftovers.close()
        await self.containers.close()
        await self.networks.close()
        self.events.close()
        self.db.close()


def _check_nothing_is_lost(paths: Paths) -> None:
    """A new database knows nothing: what lies here would be swept away as left over.

    Raises: DataLoss.
    """
    for directory in (paths.containers, paths.layers):
        if any(os.scandir(directory)):
            raise DataLoss(
                f"the state database {paths.database} is missing or empty, yet {directory} is not",
                hint=f"put a copy of it in its place, or move {directory} away to start anew",
            )


async def open_engine(config: Config) -> Engine:
    """Construct every service and recover what a killed engine left."""
    config.paths.create()
    db = Database(config.paths.database)
    if db.is_new:
        try:
            _check_nothing_is_lost(config.paths)
        except DataLoss:
            db.close()
            raise
    events = EventBus(journal=EventJournal(config.paths.events))
    blobs = BlobStore(config.paths)
    layers = LayerStore(config.paths, db)
    images = ImageStore(db=db, blobs=blobs, layers=layers, events=events)
    provenance = Provenance(db)
    downloads = Downloads(config.paths, blobs, at_once=config.registry_transfers)
    leftovers = Leftovers(config.paths.collected, images.collect_layers)
    indexes = Indexes(db, blobs, images, provenance)
    packer = Packer(config.paths, layers, blobs, provenance)
    forms = Forms(layers=layers, blobs=blobs, provenance=provenance, packer=packer)
    remote = Remote(config)
    lists = ManifestLists(
        db=db, blobs=blobs, images=images, provenance=provenance, forms=forms, remote=remote
    )
    unused_blobs = BlobCollection(images, layers, blobs, provenance, indexes, lists)
    images.after_collection(unused_blobs.collect, unused_blobs.rehearse)
    verification = Verification(config.policy, may_be_missing=config.policy_may_be_missing)
    puller = Puller(
        config=config,
        images=images,
        layers=layers,
        blobs=blobs,
        provenance=provenance,
        indexes=indexes,
        downloads=downloads,
        verification=verification,
    )
    pusher = Pusher(
        config=config,
        images=images,
        layers=layers,
        blobs=blobs,
        provenance=provenance,
        forms=forms,
    )
    networks = Networks(config=config, db=db, events=events)
    volumes = Volumes(paths=config.paths, db=db, events=events)
    runtime = await choose_runtime(config)
    await runtime.seal(config.paths.sealed)
    conmon = Conmon(config, runtime)
    containers = Containers(
        Parts(
            config=config,
            db=db,
            events=events,
            layers=layers,
            images=images,
            networks=networks,
            volumes=volumes,
            runtime=runtime,
            conmon=conmon,
        )
    )
    builder = Builder(
        config=config,
        db=db,
        events=events,
        layers=layers,
        images=images,
        indexes=indexes,
        networks=networks,
        runtime=runtime,
        puller=puller,
    )
    images.in_use_by(lambda image_id: containers.using_image(image_id))
    images.keep(builder.kept_layers)
    images.keep(containers.kept_layers)
    await networks.start()
    await containers.recover()
    await builder.recover()
    await in_thread(layers.sweep)
    await in_thread(downloads.sweep)
    leftovers.start()
    downloads.start()
    checker = Checker(
        paths=config.paths,
        db=db,
        blobs=blobs,
        layers=layers,
        images=images,
        indexes=indexes,
        provenance=provenance,
        containers=containers,
        volumes=volumes,
        builder=builder,
    )
    repairer = Repairer(
        paths=config.paths,
        checker=checker,
        blobs=blobs,
        layers=layers,
        images=images,
        indexes=indexes,
        provenance=provenance,
        downloads=downloads,
        remote=remote,
        puller=puller,
        builder=builder,
    )
    return Engine(
        config=config,
        db=db,
        events=events,
        blobs=blobs,
        layers=layers,
        images=images,
        networks=networks,
        volumes=volumes,
        runtime=runtime,
        conmon=conmon,
        containers=containers,
        builder=builder,
        indexes=indexes,
        forms=forms,
        lists=lists,
        remote=remote,
        downloads=downloads,
        leftovers=leftovers,
        puller=puller,
        pusher=pusher,
        index_pusher=IndexPusher(
            images=images, blobs=blobs, provenance=provenance, downloads=downloads, remote=remote
        ),
        variants=Variants(images=images, indexes=indexes, provenance=provenance, blobs=blobs),
        pruning=Pruning(containers=containers, volumes=volumes, images=images, builder=builder),
        loader=Loader(
            paths=config.paths,
            events=events,
            images=images,
            layers=layers,
            blobs=blobs,
            provenance=provenance,
            indexes=indexes,
            verification=verification,
        ),
        saver=Saver(images=images, layers=layers, blobs=blobs, provenance=provenance),
        checker=checker,
        repairer=repairer,
    )
