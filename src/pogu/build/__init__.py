"""Building images from Dockerfiles. Start reading at `service.py`: request → graph → executor."""
