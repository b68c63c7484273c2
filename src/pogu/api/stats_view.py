"""Format: a sample of what a container uses → Docker's statistics (API `ContainerStatsResponse`).

Clients compute percentages themselves: from `cpu_stats` and `precpu_stats`, from memory's `usage`
less `inactive_file`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from pogu.containers.stats import Sample
from pogu.images.image import rfc3339
from pogu.linux.cgroup_usage import GroupUsage, IoEntry
from pogu.linux.link_counters import LinkCounters

__all__ = ["stats_json"]

Json = dict[str, object]

_NEVER = "0001-01-01T00:00:00Z"
_NO_CPU: Json = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}
_QUEUES = (
    *("io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive"),
    *("io_merged_recursive", "io_time_recursive", "sectors_recursive"),
)


@functools.cache
def _host_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def stats_json(sample: Sample) -> Json:
    """A container that does not run has its names and empty objects."""
    before = sample.previous
    answer: Json = {
        "id": sample.container_id,
        "name": f"/{sample.name}",
        "read": rfc3339(sample.time_ns) if sample.time_ns else _NEVER,
        "preread": rfc3339(before.time_ns) if before and before.time_ns else _NEVER,
        "num_procs": 0,
        "storage_stats": {},
        "pids_stats": {},
        "blkio_stats": _blocks((), ()),
        "cpu_stats": _NO_CPU,
        "precpu_stats": _cpu(before) if before else _NO_CPU,
        "memory_stats": {},
    }
    usage = sample.usage
    if usage is None:
        return answer
    answer |= {
        "cpu_stats": _cpu(sample),
        "memory_stats": _memory(usage),
        "blkio_stats": _blocks(usage.io_bytes, usage.io_operations),
        "pids_stats": {"current": usage.pids, "limit": usage.pids_limit or (1 << 64) - 1},
    }
    if sample.links:
        answer["networks"] = {name: _link(link) for name, link in sample.links.items()}
    return answer


def _cpu(sample: Sample) -> Json:
    if sample.usage is None:
        return _NO_CPU
    cpu = sample.usage.cpu
    used: Json = {
        "total_usage": cpu.total_ns,
        "usage_in_kernelmode": cpu.kernel_ns,
        "usage_in_usermode": cpu.user_ns,
    }
    if cpu.per_cpu_ns:
        used["percpu_usage"] = cpu.per_cpu_ns
    return {
        "cpu_usage": used,
        "system_cpu_usage": sample.host_cpu_ns,
        "online_cpus": sample.online_cpus,
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled_ns,
        },
    }


def _memory(usage: GroupUsage) -> Json:
    """A group without a limit of its own has the host's memory for one."""
    memory, host = usage.memory, _host_memory_bytes()
    limit = min(memory.limit_bytes or host, host)
    answer: Json = {"usage": memory.usage_bytes, "stats": memory.stats, "limit": limit}
    if usage.version == 1:
        answer |= {"max_usage": memory.peak_bytes, "failcnt": memory.failures}
    return answer


def _blocks(in_bytes: Iterable[IoEntry], operations: Iterable[IoEntry]) -> Json:
    answer: Json = dict.fromkeys(_QUEUES)
    answer["io_service_bytes_recursive"] = [_io(entry) for entry in in_bytes] or None
    answer["io_serviced_recursive"] = [_io(entry) for entry in operations] or None
    return answer


def _io(entry: IoEntry) -> Json:
    return {
        "major": entry.major,
        "minor": entry.minor,
        "op": entry.operation,
        "value": entry.value,
    }


def _link(link: LinkCounters) -> Json:
    return {
        "rx_bytes": link.rx_bytes,
        "rx_packets": link.rx_packets,
        "rx_errors": link.rx_errors,
        "rx_dropped": link.rx_dropped,
        "tx_bytes": link.tx_bytes,
        "tx_packets": link.tx_packets,
        "tx_errors": link.tx_errors,
        "tx_dropped": link.tx_dropped,
    }
