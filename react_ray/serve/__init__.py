"""The HTTP service: Ray Serve outside, a plain FastAPI application inside.

``run`` is the command, ``app`` the deployment: a replica is ``web``, the application with
its ``protocols``, over ``service``, which has the ``engine`` compute what passed the
``limits``, and ``watch`` see it. ``ingress`` is the proxy before the replicas.
"""
