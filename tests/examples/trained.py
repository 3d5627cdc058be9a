"""Which really trained networks there are here: EfficientNet-Lite0, and its siblings where installed."""

from importlib.util import find_spec

from examples.trained_network import package_of

SIZES = [0, *(size for size in (1, 2) if find_spec(package_of(size).replace("-", "_")))]
