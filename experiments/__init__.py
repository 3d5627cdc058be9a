"""The thesis's own experiments: ``python -m experiments NAME``.

T. Motyka, "Learned equivariance in Convolutional Neural Networks" (TU Delft, 2022), asks where equivariance comes from.
Each experiment trains networks where it needs some, audits them by :func:`worker.audit.run`, draws the thesis's figure,
and decides which of its claims hold.

``similarity``, ``handcrafted``, ``symmetry``, ``augmentation``, ``width``, ``zoo``, ``trained``
    one experiment each, named after what it varies or measures
``claims``, ``estimates``
    what decides a claim
``results``, ``figures``, ``page``
    what an experiment leaves
``networks``, ``training``, ``data``, ``models``
    what is trained, and how
``lab``
    where an experiment works: its data, its networks, its reports; ``parallel`` runs its jobs, ``progress`` shows them
"""
