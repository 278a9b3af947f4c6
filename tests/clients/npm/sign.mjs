// Signs with a provider's own library: its name is the argument, what it needs is JSON on the
// standard input, and the signature goes to the standard output.

import { readFileSync } from "node:fs";

const signers = {
  "@octokit/webhooks-methods": async ({ secret, body }) => {
    const { sign } = await import("@octokit/webhooks-methods");
    return sign(secret, body);
  },
  standardwebhooks: async ({ secret, id, signed_at, body }) => {
    const { Webhook } = await import("standardwebhooks");
    return new Webhook(secret).sign(id, new Date(signed_at * 1000), body);
  },
  stripe: async ({ secret, signed_at, body }) => {
    const { default: Stripe } = await import("stripe");
    return Stripe.webhooks.generateTestHeaderString({
      payload: body,
      secret,
      timestamp: signed_at,
    });
  },
  svix: async ({ secret, id, signed_at, body }) => {
    const { Webhook } = await import("svix");
    return new Webhook(secret).sign(id, new Date(signed_at * 1000), body);
  },
  twilio: async ({ secret, url, fields }) => {
    const { getExpectedTwilioSignature } = await import("twilio/lib/webhooks/webhooks.js");
    return getExpectedTwilioSignature(secret, url, fields);
  },
};

const [library] = process.argv.slice(2);
const signature = await signers[library](JSON.parse(readFileSync(0, "utf8")));
process.stdout.write(signature);
