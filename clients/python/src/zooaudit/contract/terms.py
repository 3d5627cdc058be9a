"""The words beside the numbers of a report, each explained in a sentence or two."""

from zooaudit.contract.base import Contract


class Term(Contract):
    """A word, what it means, and the ``anchor`` in docs/method.md at which that is said in full."""

    word: str
    meaning: str
    anchor: str


class Terms(Contract):
    """All terms, by a short name that tells them apart in code."""

    terms: dict[str, Term]


def _term(word: str, meaning: str, anchor: str | None = None) -> Term:
    return Term(word=word, meaning=meaning, anchor=anchor or word.lower().replace(" ", "-"))


TERMS: dict[str, Term] = {
    "equivariance": _term(
        "equivariance",
        "Features are equivariant when they move as the image does: shift the image, and they are the same, only "
        "shifted. Scores go from 0 (they do not follow) to 1 (they follow exactly).",
    ),
    "invariance": _term(
        "invariance",
        "Features are invariant when they stay the same although the image moves. The scores at Pool and Final, which "
        "have no positions, measure this.",
    ),
    "channel": _term(
        "channel",
        "Channel equivariance compares each channel with itself: at 1 every feature moves as the image does, at 0 none "
        "does.",
    ),
    "layer": _term(
        "layer",
        "Layer equivariance compares each channel with the channel that fits it best. A layer score well above channel "
        "means that features are kept as moved copies in other channels.",
    ),
    "layer-held-out": _term(
        "layer held out",
        "As layer, but the best partner of each channel is chosen on other images than those on which the two are "
        "compared, so that chance raises nothing. With few images it is too low, since a partner chosen from them may "
        "not be the best one: the layer score of many images lies between the two, and not below channel.",
    ),
    "learned": _term(
        "learned",
        "The score of these weights less that of the same architecture untrained, on the same images: what training "
        "added to what the architecture has anyway.",
    ),
    "untrained": _term(
        "untrained",
        "The same architecture with random weights. Its score is what the architecture has before any training.",
        anchor="learned",
    ),
    "block": _term(
        "block",
        "A whole unit of the network as the next layer sees it, such as a residual or a transformer block. Its output "
        "is what is measured.",
    ),
    "part": _term(
        "part",
        "A stretch of the network's depth. The blocks are split into Early, Middle and Late; Pool and Final follow. A "
        "part's score is the mean over its blocks.",
    ),
    "early": _term("Early", "The first third of the network's blocks, nearest to the image."),
    "middle": _term("Middle", "The second third of the network's blocks."),
    "late": _term("Late", "The last third of the network's blocks, before the pooling."),
    "pool": _term(
        "Pool",
        "What enters the classifier: one number for each channel, without positions. Its score says how far these "
        "numbers stay the same when the image moves.",
    ),
    "final": _term(
        "Final",
        "The network's output, one number for each class. Its score says how far these numbers stay the same when the "
        "image moves.",
    ),
    "dead-channels": _term(
        "dead channels",
        "Channels that are constant over all images. They have no correlation with anything, and are left out of the "
        "scores.",
    ),
    "translation": _term(
        "translation",
        "The image is shifted by whole pixels, by default by 1 to 32, right and down at once. An audit whose direction "
        "is right or down shifts it only there.",
    ),
    "rotation": _term("rotation", "The image is turned counter-clockwise, by default by 90, 180 and 270 degrees."),
    "reflection": _term("reflection", "The image is flipped, left to right (horizontal) or top to bottom (vertical)."),
    "warp": _term(
        "warp",
        "A transform by any amount, which takes interpolation: a shift by part of a pixel, right and down at once, a "
        "rotation by any angle, a scale or a shear.",
    ),
    "interpolation": _term(
        "interpolation",
        "How far a map that is warped and warped back is still itself. What this lacks to 1 is lost to interpolation, "
        "whatever the network does, so a warp's score is to be read against it.",
    ),
    "deformation-stability": _term(
        "deformation stability",
        "How far small smooth random deformations of an image move a representation (D), and how far noise that "
        "changes the image as much does (G). Their ratio R is below 1 where the network is more stable to deformations "
        "than to noise.",
    ),
    "local-equivariance-error": _term(
        "local equivariance error",
        "How much features change, beside what moves with the image, when it changes by one pixel, degree or per cent, "
        "relative to how much they vary: 0 is equivariant, and there is no upper limit.",
    ),
    "shift-consistency": _term(
        "shift consistency",
        "How often a network predicts the same class for two windows of one image that are chosen at random.",
    ),
    "transformational-variance": _term(
        "transformational variance",
        "How much features vary over the transforms of an image, by how much they vary over images. It is 0 where they "
        "are invariant: features that move with the image vary, so it measures no equivariance.",
    ),
    "aligned": _term(
        "aligned",
        "The channel score over those shifts only that are a whole number of a block's cells. Other shifts are rounded "
        "down to whole cells, which lowers the mean although the network is not to blame.",
    ),
    "top1-agreement": _term(
        "top-1 agreement",
        "For how large a share of the images the predicted class stays the same when the image moves. It falls much "
        "faster than the scores at Final, since a small change decides between two close classes.",
    ),
    "similarity": _term(
        "similarity",
        "How two feature maps are compared, from 0 to 1: by default their correlation over all images and positions, "
        "with negative values counted as 0.",
    ),
    "cosine": _term(
        "cosine",
        "A similarity that also follows the mean of the activations, so that scores rise with it whatever the features "
        "do.",
        anchor="cosine-similarity",
    ),
    "border": _term(
        "border",
        "What appears at the edge of the image when it is shifted: by default the real pixels that lie there, else "
        "zeros or the other side of the image.",
    ),
    "interval": _term(
        "interval",
        "Where the score of other images of the same kind would lie: the 95 % confidence interval. After ± stands half "
        "of its width.",
    ),
    "tolerance": _term(
        "tolerance",
        "An audit with a tolerance ends as soon as every part's interval is at most this wide, on as few images as "
        "that takes.",
    ),
    "images": _term(
        "images",
        "The sample on which everything is measured, drawn at random from the data set by the seed. Only audits of the "
        "same images can be compared.",
        anchor="the-sample",
    ),
    "precision": _term(
        "precision",
        "The number format of the forward passes. tf32 and bfloat16 are faster than float32, and round more.",
        anchor="exactness",
    ),
    "difference": _term(
        "difference",
        "The score of one audit less that of another, image by image on the same images; its interval is much narrower "
        "than those of the two scores.",
    ),
    "tie": _term(
        "tie",
        "Two scores whose difference may well be chance: its p, adjusted for the number of audits compared, is not "
        "below 0.05.",
    ),
    "holm": _term(
        "Holm's adjustment",
        "Whoever compares many audits finds some differences by chance. Holm's adjustment raises each p so that even "
        "one false difference among all is rare.",
        anchor="differences",
    ),
    "spearman": _term(
        "Spearman's rho",
        "How well the order of the models by one number agrees with their order by another: 1 in the same order, −1 in "
        "the opposite order, 0 no relation.",
        anchor="scores-and-accuracy",
    ),
    "residual": _term(
        "residual",
        "How far a model's score lies above or below what its accuracy would let one expect.",
        anchor="scores-and-accuracy",
    ),
    "second-opinion": _term(
        "second opinion",
        "What other measures say of the same network, and whether they put its blocks, or several models, in the same "
        "order of equivariance as the scores do.",
        anchor="do-measures-agree",
    ),
    "accuracy": _term(
        "ImageNet top-1",
        "For what share of ImageNet's validation images the model's first guess is right, in per cent.",
        anchor="scores-and-accuracy",
    ),
    "scale": _term(
        "words for scores",
        'From 0.8 on features "move with" the image; from 0.5 they do "largely", from 0.2 "partly", and below '
        '"hardly".',
        anchor="reading-a-report",
    ),
}
"""The terms by their short names, those that a newcomer meets first standing first."""


def find_term(text: str) -> str | None:
    """Return the short name of the term that ``text`` means, whatever its case and hyphens; None if there is none.

    >>> find_term("Layer held-out"), find_term("top1_agreement"), find_term("colour")
    ('layer-held-out', 'top1-agreement', None)
    """

    def plain(name: str) -> str:
        return "".join(character for character in name.lower() if character.isalnum())

    wanted = plain(text)
    return next((key for key, term in TERMS.items() if wanted in (plain(key), plain(term.word))), None)
