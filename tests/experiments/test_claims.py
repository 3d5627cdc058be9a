"""The claims on made-up scores: each holds where the scores say so, and does not where they deny it."""

import pytest
from zooaudit import contract
from zooaudit.contract import PARTS, Block

from experiments import augmentation, handcrafted, similarity, symmetry, trained, width
from experiments.claims import NEGATIVE, POSITIVE, SIMILAR, Verdict, claim, decide
from experiments.estimates import Estimate
from experiments.results import Result, markdown
from tests.experiments.reports import made_up

HOLDS, DOES_NOT, UNDECIDED = Verdict.HOLDS, Verdict.DOES_NOT, Verdict.UNDECIDED


def about(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value=value, interval=(value - half, value + half))


@pytest.mark.parametrize(
    ("estimate", "region", "verdict"),
    [
        (about(0.1), POSITIVE, HOLDS),
        (about(-0.1), POSITIVE, DOES_NOT),
        (about(0.005), POSITIVE, UNDECIDED),
        (about(0.0, 0.0), POSITIVE, DOES_NOT),
        (about(0.0), SIMILAR, HOLDS),
        (about(0.9, 0.2), POSITIVE, HOLDS),  # the interval of a difference may end beyond 1
        (about(-0.9, 0.2), NEGATIVE, HOLDS),
        (about(0.2), SIMILAR, DOES_NOT),
        (about(0.05), SIMILAR, UNDECIDED),
        (Estimate(value=0.5, interval=None), POSITIVE, UNDECIDED),
        (Estimate(value=None, interval=None, reason="dead"), POSITIVE, UNDECIDED),
    ],
)
def test_an_interval_decides_or_does_not(estimate, region, verdict):
    assert decide(estimate, region) is verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.2, 0.3), HOLDS),
        ((0.2, -0.3), DOES_NOT),
        ((0.2, 0.0), UNDECIDED),
        ((0.0, -0.3), DOES_NOT),
        ((), UNDECIDED),
    ],
)
def test_a_claim_holds_where_all_its_cases_do(values, verdict):
    cases = {f"case {index}": about(value) for index, value in enumerate(values)}
    assert claim("1", "It is so.", "statistic", POSITIVE, cases).verdict is verdict


def verdicts(claims) -> list[Verdict]:
    return [each.verdict for each in claims]


def three(*arguments) -> list:
    return [made_up(*arguments)] * 3


def test_symmetry():
    falling = {"Early": 0.6, "Middle": 0.4, "Late": 0.2, "Final": 0.3}
    copies = {"Early": 0.9, "Middle": 0.7, "Late": 0.3, "Final": 0.8}
    as_told = dict.fromkeys((symmetry.PLAIN, symmetry.INVARIANT, symmetry.EQUIVARIANT), three(falling, copies))
    assert verdicts(symmetry.claims(as_told)) == [HOLDS] * 4
    rising = {"Early": 0.3, "Middle": 0.5, "Late": 0.7, "Final": 0.3}
    denied = {**as_told, symmetry.INVARIANT: three(rising), symmetry.EQUIVARIANT: three(rising)}
    assert verdicts(symmetry.claims(denied)) == [DOES_NOT, DOES_NOT, DOES_NOT, UNDECIDED]


PERIODIC = {
    "Middle": {shift: 0.9 if shift % 2 == 0 else 0.5 for shift in range(1, 17)},
    "Late": {shift: 0.8 if shift % 4 == 0 else 0.4 for shift in range(1, 17)},
}


def test_augmentation():
    more = {"Early": 0.5, "Middle": 0.7, "Late": 0.7, "Final": 0.7}
    as_told = {
        "none": three({}, None, PERIODIC),
        "crops": three(more, None, PERIODIC),
        "flips": three({}, None, PERIODIC),
        "cutmix": three({"Middle": 0.4}, None, PERIODIC),
        "randaugment": three(more, None, PERIODIC),
    }
    found = augmentation.claims(as_told)
    assert verdicts(found) == [HOLDS, HOLDS, HOLDS, HOLDS, HOLDS, DOES_NOT, HOLDS]
    assert found[0].measured[0].estimate.value == pytest.approx(0.4)
    level = {part: dict.fromkeys(range(1, 17), 0.5) for part in PERIODIC}
    denied = {each: three({"Middle": 0.3, "Final": 0.9}, {"Middle": 0.6}, level) for each in as_told}
    assert verdicts(augmentation.claims(denied)) == [
        *(DOES_NOT, DOES_NOT, UNDECIDED, HOLDS, UNDECIDED, UNDECIDED, DOES_NOT)
    ]


def test_width():
    scores = {1: 0.8, 2: 0.7, 4: 0.6, 8: 0.5}
    as_told = {
        each: three({"Early": score, "Middle": score, "Late": score, "Final": 0.9}) for each, score in scores.items()
    }
    assert verdicts(width.claims(as_told)) == [HOLDS, HOLDS]
    assert verdicts(width.claims(dict(zip(as_told, reversed(as_told.values()), strict=True)))) == [DOES_NOT, HOLDS]


def test_handcrafted():
    one, less = [about(0.9999995, 1e-7)] * 3, [about(0.9)] * 3
    names = (handcrafted.ISOTROPIC, handcrafted.TURNED)
    assert verdicts(handcrafted.claims(dict(zip(names, (one, one), strict=True)))) == [HOLDS, HOLDS]
    assert verdicts(handcrafted.claims(dict(zip(names, (one, less), strict=True)))) == [HOLDS, DOES_NOT]


def with_blocks(scores):
    report = made_up({})
    part = report.parts["Early"]
    blocks = tuple(
        Block(
            name=f"b{index}",
            part="Early",
            channels=2,
            height=2,
            width=2,
            layout="NCHW",
            dead_channels=0,
            translation=part.translation,
            rotation=part.rotation.model_copy(update={"channel": score}),
        )
        for index, score in enumerate(scores)
    )
    return report.model_copy(update={"blocks": blocks})


def test_similarity():
    magnitudes = [[0.1, 0.4, 0.2, 0.9]] * 3
    following = [with_blocks([0.2, 0.5, 0.3, 1.0])] * 3
    unrelated = [with_blocks([0.5, 0.5, 0.4, 0.45])] * 3
    as_told = similarity.claims({"cosine": following, "correlation": unrelated}, magnitudes)
    assert verdicts(as_told) == [HOLDS, HOLDS]
    assert as_told[0].measured[0].estimate.value == pytest.approx(1.0)
    swapped = similarity.claims({"cosine": unrelated, "correlation": following}, magnitudes)
    assert swapped[1].verdict is DOES_NOT


def with_baseline(report, difference):
    """Add a baseline to the report, from which every score differs by ``difference``, within 0.02."""
    known = contract.Estimate(value=0.5, interval=(0.49, 0.51))
    learned = contract.Learned(
        pretrained=known,
        untrained=known,
        difference=contract.Estimate(value=difference, interval=(difference - 0.02, difference + 0.02)),
        by_seed=(0.5,),
    )
    both = contract.LearnedScore(channel=learned, layer=learned)
    part = contract.LearnedPart(translation=both, rotation=both)
    return report.model_copy(update={"baseline": contract.Baseline(seeds=(0,), parts=dict.fromkeys(PARTS, part))})


def test_trained():
    # The made-up scores are the same under translation, where layer exceeds channel in Early, too.
    as_told = trained.claims(with_baseline(made_up({"Early": 0.4}, {"Early": 0.6}), 0.1))
    assert verdicts(as_told) == [HOLDS, HOLDS, DOES_NOT, HOLDS]
    denied = trained.claims(with_baseline(made_up({"Late": 0.4}, {"Late": 0.6}), -0.1))
    assert verdicts(denied) == [UNDECIDED, DOES_NOT, DOES_NOT, DOES_NOT]
    assert verdicts(trained.claims(with_baseline(made_up({}), 0.01)))[2:] == [HOLDS, UNDECIDED]


def test_a_result_reads_as_it_was_written():
    found = width.claims({each: three({"Final": 0.9}) for each in width.WIDTHS})
    result = Result(
        experiment="width", scale="small", command="do", figures=(), networks=(), claims=tuple(found), notes=()
    )
    assert Result.model_validate_json(result.model_dump_json()) == result
    lines = list(markdown(result))
    assert "Early channel: 0.000 [-0.014, 0.014]" in lines[2]
    assert "**not decidable**" in lines[2]
    assert "**holds**" in lines[3]
