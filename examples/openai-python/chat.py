"""One answer whole and one as it comes. The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY by itself.

python chat.py [MODEL]
"""

import sys

from openai import OpenAI

client = OpenAI()
model = sys.argv[1] if len(sys.argv) > 1 else client.models.list().data[0].id

raw = client.chat.completions.with_raw_response.create(
    model=model, messages=[{"role": "user", "content": "Name one moon of Saturn."}]
)
print(raw.parse().choices[0].message.content)
print(f"[{raw.headers['x-nexus-backend']}: {raw.headers['x-nexus-route-reason']}]")

stream = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Count from one to five."}], stream=True
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
