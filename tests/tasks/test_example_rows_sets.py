from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from example_rows_sets import EXAMPLE_CELLS

from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.running import padding_of, predict


@pytest.mark.parametrize("name", EXAMPLE_CELLS)
def test_a_small_model_learns_the_example_rows(name: str, marks_model: Path):
    task = get_task(name)
    target = task.target.name
    parsed = [task.parse(cells, Options()) for cells in EXAMPLE_CELLS[name]]
    assert [row[target] is None for row in parsed] == [*[False] * (len(parsed) - 1), True]
    rows = pa.Table.from_pylist(parsed[:-1], schema=pa.schema([*task.inputs, task.target]))
    assert rows.to_pylist() == parsed[:-1], "a row keeps its values in a table"
    labels = sorted({label for row in parsed[:-1] for label in task.names_in(row[target])})
    torch.manual_seed(0)
    model = task.load_model(str(marks_model), labels, 0.0)
    texts = TransformersTokenizer(load_tokenizer(str(marks_model)), 64)
    examples, padding = task.encode(texts, rows, labels), padding_of(model)
    inputs = {key: torch.from_numpy(value) for key, value in task.collate(examples, padding).items()}
    targets = torch.from_numpy(task.targets(examples, padding))
    assert task.warm_start(model, examples, padding)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(600):
        optimizer.zero_grad()
        task.loss(model(**inputs), targets).mean().backward()
        optimizer.step()
    answers = predict(task, model.eval(), texts, rows)
    assert [answer.value for answer in answers] == rows[target].to_pylist()
    assert task.credit(answers, rows).tolist() == [1.0] * len(rows)
    assert task.measure(answers, rows, labels)["macro_f1"] == pytest.approx(1)
