"""The thesis's own experiments: ``python -m experiments NAME``.

T. Motyka, "Learned equivariance in Convolutional Neural Networks" (TU Delft, 2022), asks where equivariance comes from.
Each experiment trains networks, audits them as :func:`worker.audit.run` does, draws the thesis's figure, and decides
which of its claims hold.

``similarity``, ``handcrafted``, ``symmetry``, ``augmentation``, ``width``, ``zoo``
    one experiment each, named after what it varies
``claims``, ``estimates``
    what decides a claim
``networks``, ``training``, ``data``, ``models``
    what is trained, and how
``lab``
    where an experiment works: its data, its networks, its reports
"""
