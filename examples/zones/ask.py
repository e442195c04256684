"""The same private prompt to a model in the house, to one in the cloud, and to the cloud with a demand of ours.

python ask.py [HOUSE_MODEL CLOUD_MODEL]
"""

import sys

from openai import OpenAI, PermissionDeniedError

house, cloud = sys.argv[1:3] if len(sys.argv) > 2 else ("house-model", "cloud-model")
client = OpenAI()


def ask(model: str, headers: dict[str, str]) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": "Write to jane.doe@example.org that her card 4111 1111 1111 1111 came.",
            }
        ],
        extra_headers=headers,
    )
    zone, scrubbed = raw.headers["x-nexus-privacy-zone"], raw.headers.get("x-nexus-scrubbed", "0")
    print(f"{model}: zone {zone}, {scrubbed} replaced: {raw.parse().choices[0].message.content}")


ask(house, {})
ask(cloud, {})
try:
    ask(cloud, {"X-Nexus-Zone": "restricted"})  # what a client demands is never left, scrubbed or not
except PermissionDeniedError as error:
    print(f"{cloud}: refused: {error.code}")
