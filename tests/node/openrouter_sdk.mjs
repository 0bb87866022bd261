// What @openrouter/sdk reads from our server, as one JSON object on standard output.
// Arguments: base URL, a customer's key.
import { OpenRouter } from "@openrouter/sdk";

const [serverURL, apiKey] = process.argv.slice(2);
const client = new OpenRouter({ serverURL, retryConfig: { strategy: "none" } });

async function pages(iterator) {
  const all = [];
  for await (const page of iterator) {
    all.push(page.result);
  }
  return all;
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return { name: error.name, status: error.statusCode, message: error.error?.message, code: error.error?.code };
  }
  return null;
}

const answer = {};
const [everything] = await pages(await client.models.list({ outputModalities: "all" }));
answer.ids = everything.data.map((model) => model.id);
answer.totalCount = everything.totalCount;
answer.next = everything.links.next;
answer.model = everything.data.find((model) => model.id === "openai/gpt-5-mini");
answer.auto = everything.data.find((model) => model.id === "openrouter/auto").pricing;
answer.pages = (await pages(await client.models.list({ limit: 100 }))).map((page) => page.data.length);
answer.cheap = (
  await pages(
    await client.models.list({
      supportedParameters: "tools,structured_outputs",
      inputModalities: "text,image",
      outputModalities: "text",
      context: 100000,
      minPrice: 0.1,
      maxPrice: 0.25,
      modelAuthors: "openai",
      providers: "OpenAI",
      arch: "GPT",
      sort: "pricing-low-to-high",
    }),
  )
)[0].data.map((model) => model.id);
answer.tiny = (await pages(await client.models.list({ minPrice: 1e-7, maxPrice: 0.02 })))[0].data.map((m) => m.id);
answer.one = (await client.models.get({ author: "openai", slug: "gpt-5-mini" })).data;
answer.free = (await client.models.get({ author: "z-ai", slug: "glm-4.5-air:free" })).data.pricing;
answer.endpoints = (await client.endpoints.list({ author: "openai", slug: "gpt-5-mini" })).data;
answer.providers = (await client.providers.list()).data;
answer.count = (await client.models.count({ outputModalities: "all" })).data.count;
answer.own = (await pages(await client.models.listForUser({ bearer: apiKey })))[0].data.map((model) => model.id);
answer.refusals = [
  await refusal(() => client.models.get({ author: "openai", slug: "gpt-5-minni" })),
  await refusal(async () => pages(await client.models.list({ limit: 1001 }))),
  await refusal(async () => pages(await client.models.listForUser({ bearer: "sk-or-v1-nobody" }))),
];
console.log(JSON.stringify(answer));
