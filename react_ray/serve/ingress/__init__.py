"""The proxy before the replicas: HAProxy, kept by a process of ours, fed with the routes that Ray Serve has.

    Ray's HAProxyManager ── starts, kills ──▶ haproxy.sh (instead) ── routes ──▶ keeper ──▶ HAProxy

Ray learns of it from variables that it reads when it starts. On a cluster they must be set on every node
before ``ray start``:

    eval "$(python -m react_ray.serve.ingress)"                          # with the settings that differ:
    eval "$(python -m react_ray.serve.ingress max_body_bytes=4194304)"
"""
