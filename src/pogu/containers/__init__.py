"""Containers: one record, one state machine, one lifecycle. Start reading at `service.py` (what
others see), then `parts.py` (who does it) and `lifecycle.py`.
"""
