"""Volumes of the local driver: start reading at `service.py`."""
