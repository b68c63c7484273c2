"""Service: the AppArmor profiles of containers, where the host has AppArmor."""

from __future__ import annotations

from pogu.containers.model import ContainerRecord
from pogu.containers.workload import apparmor_profile
from pogu.linux.apparmor import DEFAULT_PROFILE, detect_apparmor
from pogu.runtime.failure import init_refusal
from pogu.runtime.oci_runtime import OciRuntime

__all__ = ["Confinement"]


class Confinement:
    """Asks the host once."""

    def __init__(self, runtime: OciRuntime) -> None:
        self._runtime = runtime
        self._apparmor = detect_apparmor()

    @property
    def has_apparmor(self) -> bool:
        """True when containers are confined by AppArmor."""
        return self._apparmor.enabled

    def profile(self, record: ContainerRecord) -> str:
        """Return the container's profile; empty on a host without AppArmor."""
        return apparmor_profile(record.host_config) if self.has_apparmor else ""

    async def loaded_profile(self, record: ContainerRecord) -> str:
        """As `profile`, when the kernel has it. Raises: the runtime's failure when it has not."""
        name = self.profile(record)
        if name == DEFAULT_PROFILE:
            await self._apparmor.load_default()
        elif name and not self._apparmor.has(name):
            raise init_refusal(
                self._runtime.name,
                "unable to apply apparmor profile: apparmor failed to apply profile: write"
                " /proc/thread-self/attr/apparmor/exec: no such file or directory",
                f"the kernel has no profile {name}: load it with `apparmor_parser -r FILE`;"
                " `aa-status` lists what is loaded",
            )
        return name
