"""Format: `/version` and `/info`."""

from __future__ import annotations

import functools
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pogu import __version__
from pogu.api.reply import API_VERSION, MIN_API_VERSION
from pogu.containers.model import Status
from pogu.images.image import host_architecture
from pogu.runtime.journal import has_journal

if TYPE_CHECKING:
    from pogu.engine import Engine

__all__ = ["info", "version"]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


@functools.cache
def version() -> dict[str, object]:
    kernel = os.uname().release
    details = {
        "ApiVersion": _dotted(API_VERSION),
        "MinAPIVersion": _dotted(MIN_API_VERSION),
        "Os": "linux",
        "Arch": host_architecture(),
        "KernelVersion": kernel,
        "GoVersion": f"Python {platform.python_version()}",
        "GitCommit": "",
        "BuildTime": "",
        "Experimental": "false",
    }
    return {
        "Platform": {"Name": "Pogu Engine"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": details["ApiVersion"],
        "MinAPIVersion": details["MinAPIVersion"],
        "GitCommit": "",
        "GoVersion": details["GoVersion"],
        "Os": "linux",
        "Arch": details["Arch"],
        "KernelVersion": kernel,
        "BuildTime": "",
    }


@functools.cache
def _operating_system() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "Linux"
    return release.get("PRETTY_NAME", "Linux")


def _cgroup_version() -> str:
    return "2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1"


def info(engine: Engine) -> dict[str, object]:
    statuses = [container.state.status for container in engine.containers.all()]
    running = statuses.count(Status.RUNNING) + statuses.count(Status.RESTARTING)
    paused = statuses.count(Status.PAUSED)
    host = os.uname()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    runtime = engine.runtime
    return {
        "ID": engine.config.paths.suffix or "pogu",
        "Containers": len(statuses),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(statuses) - running - paused,
        "Images": len(engine.images.all()),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlayfs"], ["Storage Root", _root(engine)]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["journald"] * has_journal() + ["json-file", "local", "none"],
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "OomKillDisable": False,
        "Debug": engine.config.debug,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z"),
        "LoggingDriver": engine.config.log_driver,
        "CgroupDriver": runtime.cgroup_driver,
        "CgroupVersion": _cgroup_version(),
        "KernelVersion": host.release,
        "OperatingSystem": _operating_system(),
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": host.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": memory,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"],
            "IndexConfigs": {},
            "Mirrors": [],
        },
        "GenericResources": None,
        "DockerRootDir": _root(engine),
        "HttpProxy": os.environ.get("HTTP_PROXY", ""),
        "HttpsProxy": os.environ.get("HTTPS_PROXY", ""),
        "NoProxy": os.environ.get("NO_PROXY", ""),
        "Name": host.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {runtime.name: {"path": str(runtime.binary)}},
        "DefaultRuntime": runtime.name,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": _security(engine),
        "CDISpecDirs": [],
        "Warnings": [],
    }


def _security(engine: Engine) -> list[str]:
    options = ["name=apparmor"] if engine.containers.has_apparmor else []
    options += ["name=seccomp,profile=builtin", "name=cgroupns"]
    return [*options, "name=userns"] if engine.config.userns_remap else options


def _root(engine: Engine) -> str:
    return str(engine.config.paths.root)
