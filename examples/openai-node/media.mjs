// A picture, a look at one on its way, an edit, and speech. The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY by itself.
//
//   node media.mjs [FOLDER]
import { writeFile } from "node:fs/promises";
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const folder = process.argv[2] ?? ".";
const model = "nexus-painter";
const size = "128x128";

const { data } = await client.images.generate({ model, size, prompt: "a red circle on a white background" });
const circle = Buffer.from(data[0].b64_json, "base64");
await writeFile(`${folder}/circle.png`, circle);
console.log(`circle.png: ${circle.subarray(1, 4)}`);

const events = await client.images.generate({ model, size, prompt: "two blue stars", stream: true, partial_images: 1 });
for await (const event of events) console.log(event.type);

const edited = await client.images.edit({
  model,
  image: await toFile(circle, "circle.png", { type: "image/png" }),
  prompt: "a green square",
});
console.log(`edited: ${Buffer.from(edited.data[0].b64_json, "base64").subarray(1, 4)}`);

const speech = await client.audio.speech.create({ model: "espeak-ng", voice: "en-us", input: "Hello there.", response_format: "wav" });
const sound = Buffer.from(await speech.arrayBuffer());
await writeFile(`${folder}/hello.wav`, sound);
console.log(`hello.wav: ${sound.subarray(0, 4)}`);
