"""Blobs, layers and overlay mounts. Start reading at `layers.py`."""
