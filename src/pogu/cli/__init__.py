"""The command line: parse → HTTP → print. Imports `oci/` and `dockerfile/` and nothing else of
pogu; nothing heavy, because its start-up time is everyone's. Start reading at `main.py`.
"""
