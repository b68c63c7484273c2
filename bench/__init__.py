"""Measure Pogu against docker and podman, in one run, as ratios. Start reading at `__main__.py`."""
