"""Final linear layer of a classifier: initialization from a linear fit, and calibration."""

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
    "fit_last_layer",
    "head_features",
    "scale_logits",
    "shift_logits",
    "token_features",
]

BATCH_TOKENS = 4096
PENALTY = 0.1
"""L2 penalty of the linear fit, for features of norm 1."""
MANY_LABELS, TOLERANCE = 200, 1e-4
"""With more than MANY_LABELS, the linear fit stops when the mean loss improves by less than TOLERANCE."""
PRIOR_STD = 0.5
"""Standard deviation of the prior of the log temperature, whose mean is 0."""


def final_linear(model: PreTrainedModel) -> nn.Linear | None:
    """Return the model's last linear layer if it has one output per label, else None."""
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

    ``collate`` converts examples to the model's inputs. For a decoder, which applies its head to every token,
    the features are those of the last token.
    """
    features = torch.zeros(len(examples), head.in_features)
    for batch, states, inputs in _states(model, head, examples, collate):
        features[batch] = _pooled_states(states, inputs["input_ids"], model).float().cpu()
    return features


def token_features(
    model: PreTrainedModel,
    head: nn.Linear,
    examples: Sequence[Any],
    collate: Callable[[list[Any]], dict[str, NDArray[np.int64]]],
    tokens: Sequence[NDArray[np.int64]],
) -> torch.Tensor:
    """Return the inputs of ``head`` at the ``tokens`` of each example, concatenated: tokens x features."""
    features: list[torch.Tensor] = [torch.zeros(0, head.in_features)] * len(examples)
    for batch, states, inputs in _states(model, head, examples, collate):
        for i, of_example, mask in zip(batch, states, inputs["attention_mask"], strict=True):
            features[i] = of_example[mask.bool()][torch.from_numpy(tokens[i]).to(states.device)].float().cpu()
    return torch.cat(features)


def _states(
    model: PreTrainedModel, head: nn.Linear, examples: Sequence[Any], collate: Callable[[list[Any]], Any]
) -> Iterator[tuple[list[int], torch.Tensor, dict[str, torch.Tensor]]]:
    """Iterate over batches: indices of examples, inputs of ``head``, and inputs of the model."""
    captured: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    model.eval()
    try:
        for batch in token_batches([len(example.ids) for example in examples], BATCH_TOKENS):
            arrays = collate([examples[i] for i in batch])
            inputs = {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}
            with torch.no_grad():  # a sharded model cannot be trained after inference mode
                model(**inputs)
            yield batch, captured.pop(), inputs
    finally:
        hook.remove()


def _pooled_states(states: torch.Tensor, ids: torch.Tensor, model: PreTrainedModel) -> torch.Tensor:
    """Return the states of the token whose output a decoder uses: the last that is not padding.

    If the end token is also the padding token, this is the token before it.
    """
    if states.dim() == 2:
        return states
    is_token = (ids != model.config.pad_token_id).int()
    last = (is_token * torch.arange(ids.shape[1], device=ids.device)).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), last.to(states.device)]


def fit_head(
    head: nn.Linear,
    features: torch.Tensor,
    targets: NDArray[np.float32],
    weights: Sequence[float],
    *,
    binary: bool = False,
) -> None:
    """Fit multinomial logistic regression to soft ``targets`` (n x classes), and write it into ``head``.

    With ``binary`` it is a logistic regression for each class, for classes that are not exclusive.
    """
    scale = features.norm(dim=1).mean().clamp(min=1e-8)  # makes the penalty independent of scale
    x, y = (features / scale).double(), torch.from_numpy(targets).double()
    w = torch.tensor(weights).double()
    weight = torch.zeros(head.out_features, head.in_features, dtype=torch.double, requires_grad=True)
    bias = torch.zeros(head.out_features, dtype=torch.double, requires_grad=head.bias is not None)
    parameters = [weight, bias] if head.bias is not None else [weight]
    tolerance = TOLERANCE if head.out_features > MANY_LABELS else 1e-9
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=200, tolerance_change=tolerance, line_search_fn="strong_wolfe"
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


def fit_last_layer(
    model: PreTrainedModel,
    examples: Sequence[Any],
    targets: NDArray[np.float32],
    collate: Callable[[list[Any]], dict[str, NDArray[np.int64]]],
    *,
    binary: bool = False,
) -> bool:
    """Fit the last layer to ``examples`` (with ``ids`` and ``weight``); return False if it cannot be fitted.

    See :func:`head_features` for ``collate`` and :func:`fit_head` for ``targets`` and ``binary``.
    """
    head = final_linear(model)
    if head is None:
        return False
    features = head_features(model, head, examples, collate)
    fit_head(head, features, targets, [example.weight for example in examples], binary=binary)
    return True


def _losses(logits: torch.Tensor, targets: torch.Tensor, binary: bool) -> torch.Tensor:
    if binary:
        losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return losses.sum(dim=1)
    return -(targets * torch.log_softmax(logits, dim=1)).sum(dim=1)


def best_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the temperature with the highest posterior: likelihood of ``truth`` times a log-normal prior.

    Temperature scaling is from Guo et al. 2017, arXiv:1706.04599; the prior regularizes it for few rows.
    """
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 401))
    double_logits = torch.from_numpy(logits).double()
    targets = torch.from_numpy(truth)
    losses = [float(nn.functional.cross_entropy(double_logits / t, targets, reduction="sum")) for t in grid]
    return float(grid[np.argmin(np.array(losses) + (np.log(grid) / PRIOR_STD) ** 2 / 2)])


def scale_logits(head: nn.Linear, factor: float) -> None:
    """Multiply all logits by ``factor``, by scaling the layer."""
    with torch.no_grad():
        head.weight.mul_(factor)
        if head.bias is not None:
            head.bias.mul_(factor)


def shift_logits(head: nn.Linear, shift: NDArray[np.floating]) -> None:
    """Add ``shift`` (labels) to the logits, by changing the bias of the layer."""
    with torch.no_grad():
        head.bias.add_(torch.from_numpy(np.asarray(shift)).to(head.bias.device, head.bias.dtype))
