"""What a request that cannot be made is told, in one line."""

import pytest

from engine.errors import RequestError
from engine.runs.kinds import make_request

DISCOVER = {"model": "m", "task": "ioi", "ablation": "zero", "method": "eap"}


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("discover", {"sparsity": 2}, r"^sparsity=2: input should be less than 1$"),
        ("discover", {"n_prompts": 0}, r"^n_prompts=0: input should be greater than or equal to 1$"),
        ("discover", {"sead": 3}, r"^unknown field 'sead': did you mean 'seed'\? known: .*edges.*"),
        ("discover", {"edges": 3, "sparsity": 0.5}, r"^give the number of edges or the sparsity, not both$"),
        (
            "train-lenses",
            {"lens_training": {"foo": 1}},
            r"^unknown field 'lens_training.foo': known: .*texts.*",
        ),
        (
            "trace",
            {"trace": {"prompt": "x"}},
            r"^trace: a prompt of your own needs its subject, and a subject",
        ),
        ("trace", {"trace": {"state": "soul"}}, r"^trace.state='soul': input should be 'residual', "),
        ("lens", {}, r"^lens: Field required$"),
    ],
)
def test_one_line_says_what_was_given_and_what_would_be_right(
    kind: str, fields: dict[str, object], says: str
):
    about = DISCOVER if kind == "discover" else {"model": "m"}
    with pytest.raises(RequestError, match=says) as error:
        make_request(kind, **about | fields)
    assert "Value error" not in str(error.value)
    assert "\n" not in str(error.value)
