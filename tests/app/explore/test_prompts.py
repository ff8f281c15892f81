"""Words in the table of prompts."""

from app.explore.prompts import _best, _few


def test_top_tokens_of_less_than_one_per_cent_are_left_out_but_the_first():
    assert (
        _best([(" Mary", 0.85), (" John", 0.1), (" the", 0.012), (" a", 0.011)])
        == "Mary 85 · John 10 · the 1"
    )
    assert _best([(" Mary", 0.004), (" John", 0.003)]) == "Mary 0"
    assert _best([("\n", 0.9)]) == "'\\n' 90"


def test_many_answers_are_cut_short_with_their_count():
    assert _few([" 44", " 45"]) == "44, 45"
    assert _few([f" {i}" for i in range(44, 100)]) == "44, 45, 46, 47, … (56)"
