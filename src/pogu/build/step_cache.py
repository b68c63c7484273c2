"""Service: a stage's view of the build cache: keys, hits, the reason of its first miss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from pogu.build.cache import CacheRecord, StepInputs, miss_reason
from pogu.build.job import BuildJob
from pogu.build.reuse import PreviousLayer
from pogu.build.state import StageState
from pogu.dockerfile.instructions import Stage
from pogu.images.image import rfc3339
from pogu.oci.digest import ChainId
from pogu.storage.layers import Layer

__all__ = ["StepCache", "with_layer"]


class StepCache:
    """One per stage; `base_name` is what its FROM came to, in words."""

    def __init__(self, job: BuildJob, stage: Stage) -> None:
        self._job = job
        self._stage = stage
        self._missed = False
        self.base_name = ""
        self._is_fresh = job.no_cache or (stage.name or "").lower() in job.fresh_stages

    def inputs(
        self,
        state: StageState,
        text: str,
        *,
        args: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> StepInputs:
        """What a step at this state depends on."""
        return StepInputs(
            parent=state.identity(),
            base=self.base_name,
            text=text,
            args=dict(args or {}),
            files=dict(files or {}),
        )

    def find(self, inputs: StepInputs) -> CacheRecord | None:
        """The result for these inputs, if its layer is still there."""
        if self._is_fresh:
            return None
        record = self._job.cache.find(inputs.key())
        if record is not None and record.top_layer and not self._job.layers.has(record.top_layer):
            self._job.cache.forget(inputs.key())
            return None
        return record

    def lookup(self, inputs: StepInputs, number: int) -> tuple[CacheRecord | None, str | None]:
        """Return the result, or the reason of the stage's first miss."""
        record = self.find(inputs)
        if record is not None or self._missed:
            return record, None
        self._missed = True
        if self._is_fresh:
            return None, f"--no-cache{'' if self._job.no_cache else '-filter'} was given"
        before = self._job.cache.latest_at(self._place(number))
        return None, miss_reason(inputs, before.inputs() if before else None)

    def previous(self, inputs: StepInputs, number: int) -> PreviousLayer | None:
        """The layer that this COPY made the last time, if it is still there."""
        if self._is_fresh:
            return None
        before = self._job.cache.latest_at(self._place(number))
        if before is None or before.top_layer is None:
            return None
        if not self._job.layers.has(before.top_layer):
            return None
        root = self._job.layers.get(before.top_layer).path
        return PreviousLayer(root=root, before=before.inputs().files, now=inputs.files)

    def _place(self, number: int) -> str:
        return f"{self._job.place} {self._stage.index} {number}"

    def remember(self, inputs: StepInputs, number: int, state: StageState, *, empty: bool) -> None:
        """Keep a step's result. A negative number is a second key of the same step."""
        record = CacheRecord(top_layer=state.top_layer, created=state.created, empty=empty)
        self._job.cache.add(self._place(number), inputs, record, now_ns=time.time_ns())

    def recalled(self, state: StageState, record: CacheRecord, text: str) -> StageState:
        """The state after a step whose result is there already."""
        if record.empty or record.top_layer is None:
            return state.remember(text, created=record.created, empty=True)
        return _over(state, self._layer(record.top_layer), text, record.created)

    def _layer(self, chain_id: ChainId) -> Layer:
        return self._job.layers.get(chain_id)


def _over(state: StageState, layer: Layer, text: str, created: str) -> StageState:
    state = replace(state, top_layer=layer.chain_id, diff_ids=(*state.diff_ids, layer.diff_id))
    return state.remember(text, created=created, empty=False)


def with_layer(state: StageState, layer: Layer | None, text: str) -> StageState:
    """The state after a step that was executed now; None = it changed the config only."""
    created = rfc3339(time.time_ns())
    if layer is None:
        return state.remember(text, created=created, empty=True)
    return _over(state, layer, text, created)
