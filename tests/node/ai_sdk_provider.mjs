// What @openrouter/ai-sdk-provider can do without a chat: make models of the ids that our list names, and read how our
// server says no. It has no call that lists models, so the list is fetched as its users do.
// Arguments: base URL, a customer's key.
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { APICallError, generateText } from "ai";

const [baseURL, apiKey] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${apiKey}` };
const listed = (await (await fetch(`${baseURL}/models`, { headers })).json()).data;
const provider = createOpenRouter({ baseURL, apiKey, compatibility: "strict" });
const models = listed.map((entry) => provider.chat(entry.id));
const answer = { ids: models.map((model) => model.modelId), provider: models[0].provider };

const lost = createOpenRouter({ baseURL: `${baseURL}/nowhere`, apiKey });
try {
  await generateText({ model: lost.chat(listed[0].id), prompt: "hello", maxRetries: 0 });
} catch (error) {
  answer.refusal = {
    isCallError: APICallError.isInstance(error),
    status: error.statusCode,
    message: error.message,
    url: error.url,
    isRetryable: error.isRetryable,
  };
}
console.log(JSON.stringify(answer));
