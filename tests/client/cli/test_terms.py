"""`zooaudit terms` explains the words of a report, and needs no service."""

import json

from zooaudit.cli import main
from zooaudit.contract import TERMS


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["terms", *arguments])
    return code, *capsys.readouterr()


def test_all_terms(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert out.split("\n\n")[:2] == [f"{term.word}\n{term.meaning}" for term in list(TERMS.values())[:2]]
    assert all(term.meaning in out for term in TERMS.values())


def test_one_term_by_its_field(capsys):
    code, out, _ = run(capsys, "layer_held_out")
    assert (code, out) == (0, f"layer held out\n{TERMS['layer-held-out'].meaning}\n")
    code, out, _ = run(capsys, "aligned", "--json")
    assert json.loads(out)["terms"] == {"aligned": TERMS["aligned"].model_dump()}


def test_a_term_that_does_not_exist(capsys):
    code, out, err = run(capsys, "alligned")
    assert (code, out) == (2, "")
    assert err == "There is no term 'alligned'. Did you mean 'aligned'? zooaudit terms lists all of them.\n"
