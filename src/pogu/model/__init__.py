"""Docker's nouns as the wire spells them. Pure: structs only, no behaviour beyond derivation.

The same struct is parsed at the API, kept in the state database, echoed by inspect and read by
the runtime spec: values stay as given. Start reading at `container.py`.
"""
