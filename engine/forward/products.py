"""The matrix products of the masked forward: inputs of readers from sources, and their gradients.

Masks m_sr are shared by all prompts or given per prompt; see `engine.forward.masked` for the notation.
"""

import torch
from torch import Tensor

OFF = 1e-3  # an edge with a mask below is fully off (Li & Janson 2024)


def mix(rows: Tensor, differences: Tensor, out: Tensor, b: int) -> None:
    """Write Σ_s m_sr d_s + C to `out` for every reader.

    Args:
        rows: [R, n] or [B, R, n].
        differences: [n + 1, N, D], of which the last is C.
        out: [R, N, D].
        b: number of prompts B in the N = B·S tokens.
    """
    weights = torch.cat([rows, rows.new_ones((*rows.shape[:-1], 1))], -1)
    if rows.dim() == 2:
        torch.mm(weights, differences.flatten(1), out=out.flatten(1))
        return
    inputs, outputs = (x.view(x.shape[0], b, -1) for x in (differences, out))
    for i in range(b):
        torch.mm(weights[i], inputs[:, i], out=outputs[:, i])


def mix_gradient(
    rows: Tensor,
    grad_rows: Tensor | None,
    differences: Tensor,
    grad_differences: Tensor,
    grad_read: Tensor,
    b: int,
) -> None:
    """Write the gradient of `rows`, unless `grad_rows` is None, and add the gradient of `differences`.

    Shapes are those of `mix`, with the differences without C.
    """
    reads, inputs, grads = (x.view(x.shape[0], b, -1) for x in (grad_read, differences, grad_differences))
    if grad_rows is not None:
        # Prompt by prompt: one product over all tokens would have a reduction too long to be fast.
        products = torch.bmm(reads.transpose(0, 1), inputs.permute(1, 2, 0))
        grad_rows.copy_(products if grad_rows.dim() == 3 else products.sum(0))
    if rows.dim() == 2:
        grad_differences.flatten(1).addmm_(rows.T, grad_read.flatten(1))
        return
    for i in range(b):
        grads[:, i].addmm_(rows[i].T, reads[:, i])


def add_weighted(out: Tensor, weights: Tensor, sources: Tensor) -> None:
    """Add Σ_s w_s d_s to `out` [B, S, D]; weights [n] or [B, n], sources [n, B, S, D]."""
    if weights.dim() == 1 and sources.is_contiguous() and out.is_contiguous():
        out.view(-1).addmv_(sources.flatten(1).T, weights)
    else:
        out += torch.einsum("nbsd,bn->bsd", sources, weights.expand(out.shape[0], -1))


def row_gradient(out: Tensor, sources: Tensor, grad: Tensor) -> None:
    """Write ⟨d_s, grad⟩ to `out` [n] or [B, n]; sources [n, B, S, D], grad [B, S, D]."""
    products = torch.einsum("nbsd,bsd->bn", sources, grad)
    out.copy_(products if out.dim() == 2 else products.sum(0))


def spread(out: Tensor, weights: Tensor, grad: Tensor) -> None:
    """Add w_s grad to `out` [n, B, S, D]; weights [n] or [B, n], grad [B, S, D]."""
    per_prompt = weights.T if weights.dim() == 2 else weights.unsqueeze(-1)
    out.addcmul_(per_prompt[:, :, None, None], grad)


def partial_weights(rows: Tensor) -> Tensor | None:
    """Return 1 - m for every partly kept edge, and 0 for the others; None if no edge is partly kept."""
    weights = (1 - rows) * (rows >= OFF)
    return weights if bool(weights.any()) else None


def add_partial(out: Tensor, weights: Tensor, grad: Tensor) -> None:
    """Add Σ_r Σ_b w_br g_rb to the gradient of constants, which are the same for all prompts.

    The product itself sums over prompts, so that its result is only as large as the constants. If the
    constants are shared over positions too, the gradient is first summed over positions.

    Args:
        out: [n, s, D], with s either 1 (shared over positions) or at least S; the last S are used.
        weights: [R, n] or [B, R, n].
        grad: [R, B, S, D].
    """
    if out.shape[1] == 1:
        grad = grad.sum(2, keepdim=True)
    if weights.dim() == 2:
        grad, weights = grad.sum(1, keepdim=True), weights.unsqueeze(0)
    flat = weights.permute(2, 1, 0).reshape(len(out), -1)
    total = flat @ grad.reshape(flat.shape[1], -1)
    out[:, -grad.shape[2] :] += total.view(len(out), *grad.shape[2:])


class ConstantsGradient:
    """The gradient of the replacement values, accumulated in the backward pass.

    The gradient of c_s is Σ_r (1 - m_sr) g_r with g_r = dL/dx_r: the gradient of the stream's constant term
    less that of d_s. Edges that are fully off contribute Σ_r [m_sr off] (1 - m_sr) g_r. The remainder is that
    of the partly kept edges, which `held` sums up.

    Args:
        shapes: shapes of the values of input, heads and MLPs, as in `engine.forward.masked.Replacement`.
        partial: 1 - m of the partly kept edges, [rows, n_sources] or [B, rows, n_sources]; None if there
            are none, or if the gradient is taken from all edges.
        n_sources: number of sources.
    """

    def __init__(self, shapes: list[torch.Size], partial: Tensor | None, n_sources: int) -> None:
        self.shapes, self.weights = shapes, partial
        if partial is not None:
            self.held = partial.new_zeros((n_sources, *shapes[0][-2:]))
        self.by_layer: tuple[list[Tensor], list[Tensor]] = ([], [])

    def read(self, rows: slice, sources: slice, grad: Tensor) -> None:
        """Add the gradients [R, B, S, D] of the inputs of some readers."""
        if self.weights is not None:
            add_partial(self.held[sources], self.weights[..., rows, sources], grad)

    def mlp(self, source: int, grad_stream: Tensor, grad_difference: Tensor) -> None:
        """Store the gradient of an MLP's constant, after all its readers have been added."""
        grad = (grad_stream - grad_difference).sum_to_size(self.shapes[2][1:])
        self.by_layer[1].append(grad if self.weights is None else grad - self.held[source])

    def heads(self, first: int, grad_stream: Tensor, grad_attended: Tensor, out: Tensor) -> None:
        """Store the gradients of the constants of a layer's heads; `grad_attended` is [H, B, S, d]."""
        shape = self.shapes[1][1:]
        written = grad_stream.sum_to_size((*shape[1:3], out.shape[-1])).unsqueeze(0)
        if self.weights is not None:
            written = written - self.held[first : first + shape[0]].unsqueeze(1)
        self.by_layer[0].append(torch.matmul(written, out.mT.unsqueeze(1)) - grad_attended.sum_to_size(shape))

    def all(self, grad_stream: Tensor, grad_difference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of the replacement values of input, heads and MLPs."""
        grad = (grad_stream - grad_difference).sum_to_size(self.shapes[0])
        grad = grad if self.weights is None else grad - self.held[0]
        heads, mlps = self.by_layer
        return grad, torch.stack(heads[::-1]), torch.stack(mlps[::-1])
