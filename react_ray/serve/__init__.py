"""HTTP service: a Ray Serve deployment of a plain FastAPI application.

``run`` is the command, ``app`` the deployment. A replica runs the application ``web`` with its
``protocols``, on top of ``service``, which uses ``engine`` (the model), ``limits`` and ``watch``
(monitoring). ``ingress`` is the proxy in front of the replicas.
"""
