"""What an audit measures: views through the model, feature maps compared, streaming statistics, scores.

``passes`` runs the passes over the images, ``measurement`` one of them; the others are what these two are made of.
"""
