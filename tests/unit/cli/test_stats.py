"""Percentages and sizes of `stats` as Docker computes them."""

from __future__ import annotations

from typing import Any

from pogu.cli.stats import stats_row


def a_reading(**changed: object) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef",
        "name": "/web",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 3_000},
            "system_cpu_usage": 20_000,
            "online_cpus": 4,
        },
        "precpu_stats": {"cpu_usage": {"total_usage": 1_000}, "system_cpu_usage": 10_000},
        "memory_stats": {
            "usage": 3 << 20,
            "limit": 8 << 20,
            "stats": {"inactive_file": 1 << 20},
        },
        "networks": {
            "eth0": {"rx_bytes": 1500, "tx_bytes": 700},
            "eth1": {"rx_bytes": 500, "tx_bytes": 0},
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [
                {"op": "Read", "value": 4096},
                {"op": "write", "value": 10},
                {"op": "Total", "value": 4106},
            ]
        },
        "pids_stats": {"current": 3},
        **changed,
    }


def test_a_row_reads_as_dockers() -> None:
    assert stats_row(a_reading(), full=False) == {
        "Container": "0123456789ab",
        "ID": "0123456789ab",
        "Name": "web",
        "CPUPerc": "80.00%",
        "MemUsage": "2MiB / 8MiB",
        "MemPerc": "25.00%",
        "NetIO": "2kB / 700B",
        "BlockIO": "4.1kB / 10B",
        "PIDs": "3",
    }


def test_what_does_not_run_uses_nothing() -> None:
    stopped = a_reading(
        cpu_stats={"cpu_usage": {"total_usage": 0}},
        memory_stats={},
        networks=None,
        pids_stats={},
        blkio_stats={"io_service_bytes_recursive": None},
    )
    row = stats_row(stopped, full=True)
    assert (row["ID"], row["CPUPerc"], row["MemUsage"]) == ("0123456789abcdef", "0.00%", "0B / 0B")
    assert (row["NetIO"], row["BlockIO"], row["PIDs"]) == ("0B / 0B", "0B / 0B", "0")


def test_v1_counts_the_whole_trees_cache() -> None:
    memory = {"usage": 5 << 20, "limit": 8 << 20, "stats": {"total_inactive_file": 4 << 20}}
    assert stats_row(a_reading(memory_stats=memory), full=False)["MemUsage"] == "1MiB / 8MiB"
