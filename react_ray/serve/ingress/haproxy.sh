#!/bin/sh
# What Ray starts as HAProxy (RAY_SERVE_HAPROXY_BINARY_PATH): see instead.py.
exec "${REACT_RAY_PYTHON:-python3}" -m react_ray.serve.ingress.instead "$@"
