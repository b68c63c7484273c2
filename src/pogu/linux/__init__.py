"""System calls and programs, each named as its man page.

Start reading at `process.py` (programs), then `mount.py`.
"""
