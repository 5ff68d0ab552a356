"""The addition table, its encoding and its splits."""

import pytest
import torch

from encore.bases.modular_arithmetic import Table


@pytest.mark.parametrize("p", [2, 5, 12, 31])
def test_the_table_is_complete_and_right(p):
    t = Table(p)
    assert sorted(map(tuple, t.pairs.tolist())) == [(a, b) for a in range(p) for b in range(p)]
    assert t.labels.tolist() == [(a + b) % p for a, b in t.pairs.tolist()]
    x = t.one_hot(torch.float64)
    assert x.shape == (p * p, 2 * p)
    assert torch.equal(x[:, :p].argmax(1), t.pairs[:, 0])
    assert torch.equal(x[:, p:].argmax(1), t.pairs[:, 1])
    assert torch.equal(x.sum(1), torch.full((p * p,), 2.0, dtype=torch.float64))


def test_a_split_has_every_pair_once_and_depends_on_its_own_seed():
    train, test = Table(11).split(0.4, [3, 4])
    assert train.shape == (2, 48)
    for i in range(2):
        assert sorted(torch.cat([train[i], test[i]]).tolist()) == list(range(121))
    assert not torch.equal(train[0], train[1])
    assert torch.equal(Table(11).split(0.4, [4])[0][0], train[1])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 1.5])
def test_an_empty_part_is_refused(share):
    with pytest.raises(ValueError, match=r"inside \(0, 1\)"):
        Table(5).split(share, [0])


def test_a_modulus_of_one_is_refused():
    with pytest.raises(ValueError, match="p >= 2"):
        Table(1)
