// What Continue's editors do with a config.yaml: read it, check it, and ask each model for what its role is.
import fs from "node:fs";
import { parseConfigYaml, validateConfigYaml } from "@continuedev/config-yaml";
import { constructLlmApi } from "@continuedev/openai-adapters";

const config = parseConfigYaml(fs.readFileSync(process.argv[2], "utf8"));
const faults = validateConfigYaml(config) ?? [];
const signal = new AbortController().signal;

async function text(chunks, of) {
  let whole = "";
  for await (const chunk of chunks) whole += of(chunk.choices[0]) ?? "";
  return whole;
}

const byRole = {
  chat: (api, model) => {
    const messages = [{ role: "user", content: "Count from one to five." }];
    return text(api.chatCompletionStream({ model, messages, stream: true }, signal), (choice) => choice?.delta.content);
  },
  autocomplete: (api, model) =>
    text(api.completionStream({ model, prompt: "def add(a, b):", stream: true }, signal), (choice) => choice?.text),
  embed: async (api, model) =>
    `${(await api.embed({ model, input: ["Saturn has rings."] })).data[0].embedding.length} dimensions`,
};

const told = {};
for (const { model, provider, apiBase, roles } of config.models) {
  const api = constructLlmApi({ provider, apiBase, apiKey: process.env.NEXUS_KEY });
  for (const role of roles.filter((each) => each in byRole)) told[role] = await byRole[role](api, model);
}
console.log(JSON.stringify({ faults, told }));
