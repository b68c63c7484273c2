"""Containers: one record, one state machine, one lifecycle. Start reading at `service.py`."""
