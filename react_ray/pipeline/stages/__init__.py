"""Functions of the stages: each reads the folders of earlier stages and writes its own.

Their order and dependencies are in :mod:`react_ray.pipeline.graph`.
"""
