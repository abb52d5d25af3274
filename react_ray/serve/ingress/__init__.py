"""The proxy before the replicas: HAProxy, supervised by a process of ours, with the routes of Ray Serve.

    Ray's HAProxyManager ── starts, kills ──▶ haproxy.sh (instead) ── routes ──▶ keeper ──▶ HAProxy

Ray learns of it from variables that it reads when it starts. On a cluster they must be set on every node
before ``ray start``:

    eval "$(python -m react_ray.serve.ingress)"                          # with the settings that differ:
    eval "$(python -m react_ray.serve.ingress max_body_bytes=4194304)"
"""
