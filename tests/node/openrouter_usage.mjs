// What @openrouter/sdk reads about usage from our server, as one JSON object on standard output.
// Arguments: base URL, a customer's key, a day with usage.
import { OpenRouter } from "@openrouter/sdk";

const [serverURL, apiKey, date] = process.argv.slice(2);
const client = new OpenRouter({ serverURL, apiKey, retryConfig: { strategy: "none" } });

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return { name: error.name, status: error.statusCode };
  }
  return null;
}

console.log(
  JSON.stringify({
    generation: (await client.generations.getGeneration({ id: "gen-1" })).data,
    activity: (await client.analytics.getUserActivity({ date })).data,
    credits: (await client.credits.getCredits()).data,
    key: (await client.apiKeys.getCurrentKeyMetadata()).data,
    refusal: await refusal(() => client.generations.getGeneration({ id: "gen-none" })),
  }),
);
