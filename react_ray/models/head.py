"""The last linear layer of a classifier: initialization from a linear fit, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from react_ray.models.batching import token_batches

__all__ = [
    "best_temperature",
    "final_linear",
    "fit_head",
    "head_features",
    "scale_logits",
    "shift_logits",
    "token_features",
]

BATCH_TOKENS = 4096
PENALTY = 0.1
"""Half the weight of the squared norm for features of length 1, divided by the number of rows."""
MANY_LABELS, TOLERANCE = 200, 1e-4
"""With more labels the linear fit ends at the first step that gains less than this of the mean loss."""
PRIOR_SPREAD = 0.5
"""Standard deviation of log temperature around 0 before any validation row is seen."""


def final_linear(model: PreTrainedModel) -> nn.Linear | None:
    """Return the model's last linear layer if it has one output for each label."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if layers and layers[-1].out_features == model.config.num_labels:
        return layers[-1]
    return None


def head_features(
    model: PreTrainedModel,
    head: nn.Linear,
    examples: Sequence[Any],
    collate: Callable[[list[Any]], dict[str, NDArray[np.int64]]],
) -> torch.Tensor:
    """Return the inputs of ``head`` for each example (with ``ids``): n x features, on the CPU.

    ``collate`` makes the model's inputs of some of them. A decoder applies its head to every token and keeps
    the last one's output.
    """
    features = torch.zeros(len(examples), head.in_features)
    for batch, states, inputs in _states(model, head, examples, collate):
        features[batch] = _one_a_row(states, inputs["input_ids"], model).float().cpu()
    return features


def token_features(
    model: PreTrainedModel,
    head: nn.Linear,
    examples: Sequence[Any],
    collate: Callable[[list[Any]], dict[str, NDArray[np.int64]]],
    tokens: Sequence[NDArray[np.int64]],
) -> torch.Tensor:
    """What reaches ``head`` at the ``tokens`` of each example, one after the other: tokens x features."""
    found: list[torch.Tensor] = [torch.zeros(0, head.in_features)] * len(examples)
    for batch, states, inputs in _states(model, head, examples, collate):
        for i, of_example, mask in zip(batch, states, inputs["attention_mask"], strict=True):
            found[i] = of_example[mask.bool()][torch.from_numpy(tokens[i]).to(states.device)].float().cpu()
    return torch.cat(found)


def _states(
    model: PreTrainedModel, head: nn.Linear, examples: Sequence[Any], collate: Callable[[list[Any]], Any]
) -> Iterator[tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]]:
    """Batches of examples (their indices) with what reaches ``head``, and the model's inputs."""
    caught: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    model.eval()
    try:
        for batch in token_batches([len(example.ids) for example in examples], BATCH_TOKENS):
            arrays = collate([examples[i] for i in batch])
            inputs = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
            with torch.no_grad():  # inference mode would leave tensors that a sharded model cannot train on
                model(**inputs)
            yield batch, caught.pop(), inputs
    finally:
        hook.remove()


def _one_a_row(states: torch.Tensor, ids: torch.Tensor, model: PreTrainedModel) -> torch.Tensor:
    """States of the token whose output a decoder keeps: the last that is not its padding token.

    Where a text ends with the end token and that serves for padding too, it is the one before.
    """
    if states.dim() == 2:
        return states
    counts = (ids != model.config.pad_token_id).int()
    last = (counts * torch.arange(ids.shape[1], device=ids.device)).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last.to(states.device)]


def fit_head(
    head: nn.Linear,
    features: torch.Tensor,
    targets: NDArray[np.float32],
    weights: Sequence[float],
    *,
    binary: bool = False,
) -> None:
    """Multinomial logistic regression to soft ``targets`` (n x classes), written into ``head``.

    ``binary``: a logistic regression for each class, where classes do not exclude each other.
    """
    scale = features.norm(dim=1).mean().clamp(min=1e-8)  # so that the penalty means the same everywhere
    x, y = (features / scale).double(), torch.from_numpy(targets).double()
    w = torch.tensor(weights).double()
    weight = torch.zeros(head.out_features, head.in_features, dtype=torch.double, requires_grad=True)
    bias = torch.zeros(head.out_features, dtype=torch.double, requires_grad=head.bias is not None)
    free = [weight, bias] if head.bias is not None else [weight]
    tolerance = TOLERANCE if head.out_features > MANY_LABELS else 1e-9
    optimizer = torch.optim.LBFGS(
        free, max_iter=200, tolerance_change=tolerance, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = _losses(x @ weight.T + bias, y, binary)
        loss = ((losses * w).sum() + PENALTY / 2 * weight.square().sum()) / w.sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        head.weight.copy_((weight / scale).to(head.weight.device))
        if head.bias is not None:
            head.bias.copy_(bias.to(head.bias.device))


def _losses(logits: torch.Tensor, targets: torch.Tensor, binary: bool) -> torch.Tensor:
    if binary:
        each = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return each.sum(dim=1)
    return -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)


def best_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Temperature with the highest posterior: likelihood of ``truth`` times a log-normal prior.

    Guo et al. 2017, arXiv:1706.04599; the prior keeps few rows from saying much.
    """
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 401))
    scores = torch.from_numpy(logits).double()
    picked = torch.from_numpy(truth)
    loss = [float(nn.functional.cross_entropy(scores / t, picked, reduction="sum")) for t in grid]
    return float(grid[np.argmin(np.array(loss) + (np.log(grid) / PRIOR_SPREAD) ** 2 / 2)])


def scale_logits(head: nn.Linear, factor: float) -> None:
    """Multiply every logit by ``factor``, inside the layer."""
    with torch.no_grad():
        head.weight.mul_(factor)
        if head.bias is not None:
            head.bias.mul_(factor)


def shift_logits(head: nn.Linear, by: NDArray[np.floating]) -> None:
    """Add ``by`` (one value a label) to the logits, inside the layer, which needs a bias."""
    with torch.no_grad():
        head.bias.add_(torch.from_numpy(np.asarray(by)).to(head.bias.device, head.bias.dtype))
