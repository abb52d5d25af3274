"""Proxy in front of the replicas: HAProxy with the routes of Ray Serve, supervised by a keeper process.

    Ray's HAProxyManager ── starts, kills ──▶ haproxy.sh (instead) ── routes ──▶ keeper ──▶ HAProxy

Ray is configured by environment variables at its start. On a cluster they must be set on every node
before ``ray start``:

    eval "$(python -m react_ray.serve.ingress)"                          # with the settings that differ:
    eval "$(python -m react_ray.serve.ingress max_body_bytes=4194304)"
"""
