// One answer whole, one as it comes, and a tool. The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY by itself.
//
//   node chat.mjs [MODEL]
import OpenAI from "openai";

const client = new OpenAI();
const model = process.argv[2] ?? (await client.models.list()).data[0].id;

const { data, response } = await client.chat.completions
  .create({ model, messages: [{ role: "user", content: "Name one moon of Saturn." }] })
  .withResponse();
console.log(data.choices[0].message.content);
console.log(`[${response.headers.get("x-nexus-backend")}: ${response.headers.get("x-nexus-route-reason")}]`);

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Count from one to five." }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
console.log();

// runTools asks, calls the function, and asks again until the model is done: for models that can.
const runner = client.chat.completions.runTools({
  model,
  messages: [{ role: "user", content: "What is 2 plus 40? Use the tool." }],
  tools: [
    {
      type: "function",
      function: {
        name: "add",
        description: "Adds two numbers.",
        parameters: {
          type: "object",
          properties: { a: { type: "number" }, b: { type: "number" } },
          required: ["a", "b"],
        },
        parse: JSON.parse,
        function: ({ a, b }) => {
          console.log(`add(${a}, ${b}) = ${a + b}`);
          return String(a + b);
        },
      },
    },
  ],
});
console.log(await runner.finalContent());
