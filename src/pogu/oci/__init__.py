"""The OCI specs' formats: digest, reference, descriptor, manifest, image config. Pure.

Start reading at `image.py`; image-spec v1.1 is the authority.
"""
