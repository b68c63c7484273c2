"""Networks: the bridge, addresses, NAT and published ports. Start reading at `service.py`."""
