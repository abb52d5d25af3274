"""The proxy before the replicas: HAProxy, set up through variables that Ray reads when it starts.

On a cluster they must be set on every node before ``ray start``:

    eval "$(python -m react_ray.serve.ingress)"                          # with the settings that differ:
    eval "$(python -m react_ray.serve.ingress max_body_bytes=4194304)"
"""

from react_ray.serve.ingress.settings import available, private, variables

__all__ = ["available", "private", "variables"]
