// What @openrouter/sdk and @openrouter/ai-sdk-provider make of our gateway, as one JSON object on standard output.
// Arguments: base URL, a customer's key.
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { OpenRouter } from "@openrouter/sdk";
import { generateText, streamText } from "ai";

const [serverURL, apiKey] = process.argv.slice(2);
const client = new OpenRouter({ serverURL, apiKey, retryConfig: { strategy: "none" } });
const messages = [{ role: "user", content: "안녕하세요" }];
const model = "openai/gpt-5-mini";
const answer = {};

const whole = await client.chat.send({ chatRequest: { model, messages } });
answer.chat = { text: whole.choices[0].message.content, usage: whole.usage, model: whole.model };

const said = [];
let usage = null;
for await (const chunk of await client.chat.send({ chatRequest: { model, messages, stream: true } })) {
  said.push(chunk.choices[0]?.delta?.content ?? "");
  usage = chunk.usage ?? usage;
}
answer.stream = { text: said.join(""), usage };

const provider = createOpenRouter({ baseURL: serverURL, apiKey, compatibility: "strict" });
const generated = await generateText({ model: provider.chat(model), prompt: "안녕하세요", maxRetries: 0 });
answer.generated = { text: generated.text, usage: generated.usage };

const streamed = streamText({ model: provider.chat(model), prompt: "안녕하세요", maxRetries: 0 });
const pieces = [];
for await (const piece of streamed.textStream) {
  pieces.push(piece);
}
answer.streamed = { text: pieces.join(""), usage: await streamed.usage };
answer.metadata = (await streamed.finalStep).providerMetadata?.openrouter?.usage;

try {
  await client.chat.send({ chatRequest: { model: "openai/gpt-5-minni", messages } });
} catch (error) {
  answer.refusal = { name: error.name, status: error.statusCode, code: error.error?.code };
}
console.log(JSON.stringify(answer));
