"""Images: which ones are measured, and how a model is shown them.

``dataset`` chooses a sample, ``canvas`` resizes one image as a model wants it, ``decoding`` does so in other processes,
``stream`` hands out batches. ``synthetic`` is the built-in data set. Only ``stream`` imports torch.
"""

from worker.images.canvas import Preprocessing
from worker.images.dataset import Sample, open_dataset

__all__ = ["Preprocessing", "Sample", "open_dataset"]
