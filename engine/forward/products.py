"""The products of the masked forward: what readers mix from sources, and the way back.

Weights m_rs come as one for all prompts or prompt by prompt; see `engine.forward.masked` for the names.
"""

import torch
from torch import Tensor

OFF = 1e-3  # an edge with a mask below is fully off (Li & Janson 2024)


def mix(rows: Tensor, differences: Tensor, out: Tensor, b: int) -> None:
    """Write Σ_s m_sr d_s + C for every reader.

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
    """Write the gradient of the rows of `mix`, if it is wanted, and add the gradient of the differences.

    Shapes as in `mix`, the differences without C.
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
    """Return 1 - m for every edge between off and whole, 0 for the others; None if none is in between."""
    weights = (1 - rows) * (rows >= OFF)
    return weights if bool(weights.any()) else None


def add_partial(out: Tensor, weights: Tensor, grad: Tensor) -> None:
    """Add Σ_r Σ_b w_br g_rb to the gradient of constants, which are the same for all prompts.

    The product itself sums over prompts, so that it writes no more numbers than the constants have. Where the
    constants are shared over positions too, the gradient is summed over positions first, and the product
    costs next to nothing.

    Args:
        out: [n, s, D], s either 1 (shared over positions) or at least S, of which the last S are meant.
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
    """The gradient of the replacement values, gathered on the way back.

    The gradient of c_s is Σ_r (1 - m_sr) g_r with g_r = dL/dx_r: what flows into the stream's constant term
    less what flows into d_s. Edges that are fully off give Σ_r [m_sr off] (1 - m_sr) g_r of it. The rest is
    the share of the edges in between, which `held` sums up.

    Args:
        shapes: of the values of input, heads and MLPs, as in `engine.forward.masked.Replacement`.
        partial: (1 - m) of the edges in between, [rows, n_sources] or [B, rows, n_sources]; None if none is
            in between, or all edges count.
        n_sources: number of sources.
    """

    def __init__(self, shapes: list[torch.Size], partial: Tensor | None, n_sources: int) -> None:
        self.shapes, self.weights = shapes, partial
        if partial is not None:
            self.held = partial.new_zeros((n_sources, *shapes[0][-2:]))
        self.by_layer: tuple[list[Tensor], list[Tensor]] = ([], [])

    def read(self, rows: slice, sources: slice, grad: Tensor) -> None:
        """Note the gradients [R, B, S, D] of what some readers read."""
        if self.weights is not None:
            add_partial(self.held[sources], self.weights[..., rows, sources], grad)

    def mlp(self, source: int, grad_stream: Tensor, grad_difference: Tensor) -> None:
        """Note the gradient of an MLP's constant; all its readers have been seen."""
        grad = (grad_stream - grad_difference).sum_to_size(self.shapes[2][1:])
        self.by_layer[1].append(grad if self.weights is None else grad - self.held[source])

    def heads(self, first: int, grad_stream: Tensor, grad_attended: Tensor, out: Tensor) -> None:
        """Note the gradient of a layer's heads' constants; `grad_attended` is [H, B, S, d]."""
        shape = self.shapes[1][1:]
        written = grad_stream.sum_to_size((*shape[1:3], out.shape[-1])).unsqueeze(0)
        if self.weights is not None:
            written = written - self.held[first : first + shape[0]].unsqueeze(1)
        self.by_layer[0].append(torch.matmul(written, out.mT.unsqueeze(1)) - grad_attended.sum_to_size(shape))

    def all(self, grad_stream: Tensor, grad_difference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of input, heads and MLPs, given that of the input's difference."""
        grad = (grad_stream - grad_difference).sum_to_size(self.shapes[0])
        grad = grad if self.weights is None else grad - self.held[0]
        heads, mlps = self.by_layer
        return grad, torch.stack(heads[::-1]), torch.stack(mlps[::-1])
