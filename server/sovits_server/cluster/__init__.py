"""Voices on several processes and machines: a Ray Serve application of the very same server.

    serve run sovits_server.cluster:app voices=/voices replicas=2

The ingress speaks all dialects and encodes, without a model. Replicas hold voices and make sound. Ray sends a request
to a replica that has its voice open already. Where a replica has too many, it closes the one not used for longest.
"""

from sovits_server.cluster.application import app

__all__ = ["app"]
