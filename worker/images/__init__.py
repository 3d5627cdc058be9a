"""Images: which ones are measured, and what a model sees of them.

``dataset`` chooses a sample, ``canvas`` resizes one image as the model's preprocessing does, ``decoding`` does so in
other processes, ``canvas_cache`` keeps the results, ``canvas_source`` takes them from there or from decoding, and
``stream`` hands out batches. ``synthetic`` is the built-in data set. All but ``stream`` can be imported without torch.
"""

from worker.images.canvas import Preprocessing
from worker.images.dataset import Sample, open_dataset

__all__ = ["Preprocessing", "Sample", "open_dataset"]
