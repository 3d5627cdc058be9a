"""zooaudit: how equivariant is a pretrained image model, and where in its depth?"""

__version__ = "0.1.0"
