"""The measures besides channel and layer equivariance: each is measured in a pass of its own over all images.

A probe is named by a key, a frozen dataclass, and has a class of running sums: ``see`` takes a batch of canvases and
runs what forward passes it needs, and ``statistics`` gives a :class:`worker.measure.probes.statistic.Statistic` for
each representation, by name.
"""
