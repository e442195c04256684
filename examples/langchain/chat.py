"""A chain, a stream, a tool and embeddings. LangChain reads OPENAI_API_BASE and OPENAI_API_KEY by itself.

python chat.py MODEL [EMBEDDING_MODEL]
"""

import sys

from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@tool
def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b


model = ChatOpenAI(model=sys.argv[1])

chain = ChatPromptTemplate.from_template("Name one moon of {planet}.") | model
print(chain.invoke({"planet": "Saturn"}).text)

for chunk in model.stream("Count from one to five."):
    print(chunk.text, end="", flush=True)
print()

asked = [HumanMessage("What is 2 plus 40? Use the tool.")]
with_tools = model.bind_tools([add])
answer = with_tools.invoke(asked)
results = [add.invoke(call) for call in answer.tool_calls]
for result in results:
    print(f"add: {result.content}")
if results:
    answer = with_tools.invoke([*asked, answer, *results])
print(answer.text)

if len(sys.argv) > 2:
    # Otherwise it sends numbers of OpenAI's tokenizer in place of text, which no other model knows.
    embeddings = OpenAIEmbeddings(model=sys.argv[2], check_embedding_ctx_length=False)
    print(f"{len(embeddings.embed_query('Saturn has rings.'))} dimensions")
