"""A model that calls a function of this program, for models that can.

python tools.py [MODEL]
"""

import json
import sys

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

ADD: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}

client = OpenAI()
model = sys.argv[1] if len(sys.argv) > 1 else client.models.list().data[0].id
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 2 plus 40? Use the tool."}]

message = client.chat.completions.create(model=model, messages=messages, tools=[ADD]).choices[0].message
for call in message.tool_calls or []:
    if call.type == "function":
        given = json.loads(call.function.arguments)
        total = str(given["a"] + given["b"])
        print(f"{call.function.name}({given['a']}, {given['b']}) = {total}")
        messages += [
            {"role": "assistant", "tool_calls": [call.to_dict()]},  # pyright: ignore[reportArgumentType]
            {"role": "tool", "tool_call_id": call.id, "content": total},
        ]
if message.tool_calls:
    message = client.chat.completions.create(model=model, messages=messages, tools=[ADD]).choices[0].message
print(message.content)
