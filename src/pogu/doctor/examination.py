"""Service: every check, in the order of its report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pogu.config import Config
from pogu.doctor.finding import OK, Finding
from pogu.doctor.host import Host
from pogu.doctor.kernel import (
    check_cgroups,
    check_forwarding,
    check_kernel,
    check_overlay,
    check_seccomp,
    check_user,
)
from pogu.doctor.policy import check_policy
from pogu.doctor.programs import check_conmon, check_dns_helper, check_nftables, check_runtime
from pogu.doctor.storage import check_disk, check_storage

__all__ = ["examine"]


async def examine(
    config: Config, probe_runtime: Callable[[], Awaitable[str]], *, host: Host | None = None
) -> list[Finding]:
    """Check kernel, overlay, cgroups, runtime (by a probe container), conmon, nftables, DNS
    helper, disk, policy. `probe_runtime` returns the chosen runtime's name and version or raises.
    """
    host = host or Host()
    return [
        user := check_user(host),
        check_kernel(host),
        check_seccomp(host),
        check_cgroups(host, config.cgroup_driver),
        check_overlay(host),
        check_storage(host, config.paths.root),
        *check_disk(host, config.paths.root),
        await check_runtime(host, config, probe_runtime, may_try=user.level == OK),
        await check_conmon(host),
        await check_nftables(host),
        check_dns_helper(host),
        check_forwarding(host),
        check_policy(host, config),
    ]
