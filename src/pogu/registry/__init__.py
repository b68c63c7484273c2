"""Registries by the OCI distribution-spec. Start reading at `client.py`."""
