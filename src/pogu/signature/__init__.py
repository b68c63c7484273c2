"""Who may say that an image is good: the policy file and cosign's signatures, by public key.

Start reading at `policy.py`. Nothing here talks to a registry: `registry/attachments.py` fetches,
`images/verification.py` decides.
"""
