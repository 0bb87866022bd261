// What the openai package makes of our gateway, as one JSON object on standard output.
// Arguments: base URL, a customer's key.
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "안녕하세요" }];
const model = "openai/gpt-5-mini";

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, type: error.type };
  }
  return null;
}

const answer = {};
const whole = await client.chat.completions.create({ model, messages });
answer.chat = { text: whole.choices[0].message.content, usage: whole.usage, model: whole.model };

const said = [];
let usage = null;
const stream = await client.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  said.push(chunk.choices[0]?.delta?.content ?? "");
  usage = chunk.usage ?? usage;
}
answer.stream = { text: said.join(""), usage };

const response = await client.responses.create({ model, input: "안녕하세요" });
answer.response = { text: response.output_text, usage: response.usage };
const heard = client.responses.stream({ model, input: "안녕하세요" });
const last = await heard.finalResponse();
answer.responseStream = { text: last.output_text, usage: last.usage };

const vectors = await client.embeddings.create({ model: "openai/text-embedding-3-small", input: "안녕하세요" });
answer.embedding = { size: vectors.data[0].embedding.length, usage: vectors.usage };
const images = await client.images.generate({ model: "openai/gpt-5-image-mini", prompt: "안녕하세요" });
answer.image = { starts: images.data[0].b64_json.slice(0, 8), usage: images.usage };
const file = await toFile(Buffer.alloc(6400), "speech.wav");
const heardText = await client.audio.transcriptions.create({ model: "openai/gpt-4o-mini-transcribe", file });
answer.transcription = { text: heardText.text, usage: heardText.usage };

const stranger = new OpenAI({ baseURL, apiKey: "sk-jeongsan-nobody", maxRetries: 0 });
answer.refusals = [
  await refusal(() => stranger.chat.completions.create({ model, messages })),
  await refusal(() => client.chat.completions.create({ model: "openai/gpt-5-minni", messages })),
  await refusal(() => client.chat.completions.create({ model, messages: [{ role: "user", content: "@upstream(status=429)" }] })),
];
console.log(JSON.stringify(answer));
