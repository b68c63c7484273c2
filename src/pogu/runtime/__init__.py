"""Running a process in an OCI bundle: spec, crun/runc, conmon. Knows nothing of Docker.

Start reading at `workload.py` (what is asked), then `spec.py` (how it is said to the runtime).
"""
