"""Which of three sentences is nearest to a question.

python embed.py EMBEDDING_MODEL
"""

import sys

from openai import OpenAI

SENTENCES = ["The cat sleeps on the sofa.", "Bread needs an hour in the oven.", "Saturn has rings."]

client = OpenAI()
answer = client.embeddings.create(model=sys.argv[1], input=["Tell me about planets.", *SENTENCES])
question, *others = (row.embedding for row in answer.data)


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


nearest = max(range(len(SENTENCES)), key=lambda index: likeness(question, others[index]))
print(f"{len(question)} dimensions; nearest: {SENTENCES[nearest]}")
