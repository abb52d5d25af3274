"""The HTTP service: Ray Serve outside, a plain FastAPI application inside.

``run`` is the command, ``app`` the deployment; only these two know Ray. ``web`` has
the routes, ``protocol`` what goes over the wire, ``service`` joins the texts of
callers into model calls (``batcher``) that ``engine`` computes.
"""
