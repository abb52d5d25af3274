"""Nouns for the parts of a task in messages, reports and model cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "ABSTRACTS",
    "ANSWERS",
    "ENTITIES",
    "PAIRS",
    "RELATIONS",
    "SETS",
    "SUMMARIES",
    "TRANSLATIONS",
    "Nouns",
    "count_of",
]


@dataclass(frozen=True)
class Nouns:
    """Nouns of a task, and an example input of its models.

    Parameters
    ----------
    model
        Noun for a trained model.
    option, options
        Noun for a class of the task, singular and plural.
    link
        Preposition between the name of the task and the number of its classes.
    counted
        Noun for the units that the support of a class counts.
    row, rows
        Noun for an input row, singular and plural.
    label, labels
        Noun for a human label, singular and plural.
    credit
        Name of the mean credit of answers.
    correct
        Name of the share of answers that scores predict, see :meth:`react_ray.tasks.task.Task.correct`; ""
        if scores are compared with the credit, because they are no probability of a correct answer.
    graded
        Whether an answer may be partly correct.
    example
        An input of :func:`react_ray.load`.
    pipeline_input
        The same input for the transformers pipeline, if its format differs.
    pipeline_options, call_options
        Further arguments of ``pipeline(...)`` and of its call, as Python code.
    pipeline_note
        Note on the output of the pipeline.
    limits
        Limitations, as sentences for the model card.
    """

    model: str = "text classifier"
    option: str = "class"
    options: str = "classes"
    link: str = "into"
    counted: str = "rows"
    row: str = "text"
    rows: str = "texts"
    label: str = "label"
    labels: str = "labels"
    credit: str = "share that was right"
    correct: str = "share that was right"
    graded: bool = False
    example: Any = "a new text"
    pipeline_input: Any = None
    pipeline_options: str = ""
    call_options: str = "truncation=True"
    pipeline_note: str = ""
    limits: tuple[str, ...] = (
        "Every text gets one of these labels, also one that fits none of them: look at the score before you "
        "act on it.",
        "Texts longer than the model's maximum length are cut.",
    )

    def number(self, n: int) -> str:
        """Format a number of classes: "1 class", "3 classes"."""
        return count_of(n, self.option, self.options)


def count_of(n: int, singular: str, plural: str) -> str:
    """Format a number with its noun.

    Example
    -------
    >>> count_of(1, "text", "texts"), count_of(3126, "text", "texts")
    ('1 text', '3,126 texts')
    """
    return f"{n:,} {singular if n == 1 else plural}"


PAIRS = Nouns(
    model="classifier of pairs of texts",
    row="pair of texts",
    rows="pairs of texts",
    example={"text": "a new text", "text_pair": "another text"},
    limits=(
        "Every pair of texts gets one of these labels, also one that fits none of them: look at the score "
        "before you act on it.",
        "The order of the two texts is part of what the model reads.",
        "Pairs longer than the model's maximum length are cut.",
    ),
)

SETS = Nouns(
    model="multi-label text classifier",
    option="label",
    options="labels",
    link="with",
    label="labelled text",
    labels="labelled texts",
    credit="mean F1 of the labels of a text",
    correct="share of texts with exactly the right labels",
    graded=True,
    call_options="truncation=True, top_k=None",
    pipeline_note="Every label comes with its sigmoid; those of at least 0.5 are the answer.",
    limits=(
        "A text gets any number of these labels, also none; others are unknown to the model.",
        "The thresholds of the labels fit texts in which each label is about as frequent as it was here.",
        "Texts longer than the model's maximum length are cut.",
    ),
)

RELATIONS = Nouns(
    model="classifier of relations between two entities of a text",
    option="relation",
    options="relations",
    link="with",
    row="pair of entities",
    rows="pairs of entities",
    example="the <e1>smoke</e1> of the <e2>fire</e2>",
    pipeline_input="the * smoke * of the # fire #",
    pipeline_note="The model reads the first entity between signs * and the second between #.",
    limits=(
        "Every pair of entities gets one of these relations, also one that fits none of them: look at the "
        "score before you act on it.",
        "The model does not find entities: they have to be marked.",
        "Of texts longer than the model's maximum length it reads what is around the two entities.",
    ),
)

ENTITIES = Nouns(
    model="token classifier",
    option="type of entity",
    options="types of entity",
    link="with",
    counted="entities",
    label="labelled text",
    labels="labelled texts",
    credit="mean entity F1 of a text",
    correct="share of texts with exactly the right entities",
    graded=True,
    pipeline_options='aggregation_strategy="simple"',
    call_options="",
    limits=(
        "Only entities of these types are found; others are passed over or taken for one of these.",
        "Entities do not overlap and are not nested.",
        "The score of an entity is the probability of its least certain word.",
    ),
)

SUMMARIES = Nouns(
    model="model that selects sentences for a summary",
    option="option",
    options="options",
    link="with",
    row="document",
    rows="documents",
    label="summary",
    labels="summaries",
    credit="mean ROUGE-L of a summary",
    correct="",
    graded=True,
    example="It rained all day. The match was moved to Sunday. Tickets stay valid.",
    call_options="",
    pipeline_note="The pipeline scores tokens; a sentence has the mean of its tokens.",
    limits=(
        "A summary has sentences of the document, word for word, in their order.",
        "Every summary has the same number of sentences, where the document has as many.",
        "The score is the mean probability of the selected sentences.",
    ),
)

ANSWERS = Nouns(
    model="model that answers questions from a context",
    option="option",
    options="options",
    link="with",
    row="question",
    rows="questions",
    label="answer",
    labels="answers",
    credit="mean F1 of an answer",
    correct="share of answers with an F1 above 0.5",
    graded=True,
    example={"context": "Ada lives in Paris.", "question": "Where does Ada live?"},
    call_options="",
    limits=(
        "An answer is a part of the context, word for word.",
        "Without unanswerable questions among its labels, the model answers every question.",
        "The code for transformers alone reads the start of a long context only, and knows no calibration.",
        "The score is the probability among the best parts of the context.",
    ),
)

TRANSLATIONS = Nouns(
    model="translation model",
    option="option",
    options="options",
    link="with",
    label="translation",
    labels="translations",
    credit="mean chrF of a translation",
    correct="",
    graded=True,
    example="A dog runs across the grass.",
    call_options="",
    limits=(
        "A translation may be fluent and wrong: numbers, names and negations need a look.",
        "The score is the geometric mean of the probabilities of the tokens; it is not calibrated.",
        "Texts longer than the model's maximum length are cut, and translations end at max_new_tokens.",
    ),
)

ABSTRACTS = Nouns(
    model="model that writes summaries",
    option="option",
    options="options",
    link="with",
    row="document",
    rows="documents",
    label="summary",
    labels="summaries",
    credit="mean ROUGE-L of a summary",
    correct="",
    graded=True,
    example="It rained all day. The match was moved to Sunday. Tickets stay valid.",
    call_options="",
    limits=(
        "A summary may state what the document does not: check it before you act on it.",
        "The score is the geometric mean of the probabilities of the tokens; it is not calibrated.",
        "Documents longer than the model's maximum length are cut: their end is not read.",
    ),
)
